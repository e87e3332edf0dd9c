package agents

import (
	"strings"
	"time"
)

// bgpNeighbors reports the session over each routed cable, by the neighbour's address, in the default VRF.
func (u unit) bgpNeighbors(boot, now time.Time) map[string]any {
	neighbors := map[string]any{}
	local := number(u.spec, "asn")
	for _, p := range u.ports {
		if !p.routed() {
			continue
		}
		far := u.wiring.asn(p.peer)
		kind := "EXTERNAL"
		if far == local {
			kind = "INTERNAL"
		}
		since := u.established(p, boot)
		neighbors[bare(p.peerIP)] = map[string]any{
			"state": "established", "enabled": true,
			"localAS": local, "peerAS": far, "peerType": kind, "peerGroup": "fabric", "peerPort": int64(179),
			"remoteRouterID": bare(text(u.wiring.switches[p.peer].Spec, "protocolIP")),
			"estabTrans":     int64(1), "connDropped": int64(0), "lastResetReason": "",
			"lastEstab": stamp(since), "lastRead": stamp(now.Add(-time.Second)), "lastWrite": stamp(now.Add(-2 * time.Second)),
			"msgs": map[string]any{
				"rec":  u.messages(p.peer+"/"+p.peerPort, since, now),
				"sent": u.messages(u.name+"/"+p.name, since, now),
			},
			"prefixes": u.prefixes(p),
		}
	}
	return neighbors
}

// messages counts what one end of a session sent: a keepalive every 20 s, and an update now and then.
func (u unit) messages(sender string, since, now time.Time) map[string]any {
	seconds := now.Sub(since).Seconds()
	return map[string]any{
		"open": int64(1), "cap": int64(0), "notif": int64(0), "rrefresh": int64(0),
		"keepal": int64(seconds / 20),
		"update": 20 + int64(seconds*u.dice.between(10, 90, sender, "updates")/86400),
	}
}

// prefixes are about as many as a fabric of this size has routes: one a loopback and two a routed cable.
func (u unit) prefixes(p port) map[string]any {
	switches := int64(len(u.wiring.switches))
	own := int64(len(u.ports))
	return map[string]any{
		"ipv4Unicast": map[string]any{"rec": 2*switches - 2, "recPre": 2*switches - 2, "sent": 2 + own},
		"l2vpnEVPN": map[string]any{
			"rec": 3 * switches, "recPre": 3 * switches,
			"sent": 3 + int64(u.dice.unit(u.name, p.name, "evpn")*6),
		},
	}
}

func (u unit) bfdPeers(boot time.Time) map[string]any {
	peers := map[string]any{}
	for _, p := range u.ports {
		if p.routed() {
			since := stamp(u.established(p, boot))
			peers[bare(p.peerIP)] = map[string]any{"state": "up", "fails": int64(0), "lastUpTime": since, "profile": "fabric"}
		}
	}
	return peers
}

// established is when a session came up: within minutes of its switch.
func (u unit) established(p port, boot time.Time) time.Time {
	return boot.Add(time.Duration(u.dice.between(130, 240, u.name, p.name, "session") * float64(time.Second)))
}

// asn is the autonomous system of a switch or gateway, or 0.
func (w wiring) asn(device string) int64 {
	if s, isSwitch := w.switches[device]; isSwitch {
		return number(s.Spec, "asn")
	}
	for _, g := range w.gateways {
		if g.Metadata.Name == device {
			return number(g.Spec, "asn")
		}
	}
	return 0
}

// bare is an address without its prefix length.
func bare(cidr string) string {
	address, _, _ := strings.Cut(cidr, "/")
	return address
}
