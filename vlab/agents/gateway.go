package agents

import (
	"time"
)

// describeGateway makes a gateway's agent from the Gateway alone: its neighbours are in its spec.
func (w wiring) describeGateway(d dice, g item) description {
	name := g.Metadata.Name
	return description{
		home: gatewayAgentHome, name: name, annotations: ofHedgehog(g.Metadata.Annotations),
		spec: map[string]any{"agentVersion": agentVersion, "gateway": g.Spec, "config": map[string]any{"fabricBFD": true}},
		report: func(p progress, now time.Time) map[string]any {
			status := map[string]any{
				"agentVersion":  agentVersion,
				"lastHeartbeat": stamp(now),
				"state": map[string]any{
					"lastCollectedTime": stamp(now),
					"dataplane":         map[string]any{"version": "v0.9.0"},
					"frr":               map[string]any{"lastAppliedGen": p.appliedGen},
					"bgp": map[string]any{"vrfs": map[string]any{"default": map[string]any{
						"neighbors": w.gatewayNeighbors(d, g, p, now),
					}}},
				},
			}
			setIf(status, "lastAppliedGen", "lastAppliedTime", p.appliedGen, p.appliedTime)
			return status
		},
	}
}

func (w wiring) gatewayNeighbors(d dice, g item, p progress, now time.Time) map[string]any {
	seconds := now.Sub(p.created).Seconds()
	messages := func(updates int64) map[string]any {
		return map[string]any{
			"open": int64(1), "capability": int64(0), "notification": int64(0), "routeRefresh": int64(0),
			"keepalive": int64(seconds / 20), "update": updates,
		}
	}
	prefixes := func(received, sent int64) map[string]any {
		return map[string]any{"received": received, "receivedPrePolicy": received, "sent": sent}
	}
	routes := 2 * int64(len(w.switches))
	neighbors := map[string]any{}
	listed, _ := dig(g.Spec, "neighbors").([]any)
	for _, n := range listed {
		address := text(n, "ip")
		neighbors[address] = map[string]any{
			"enabled": true, "sessionState": "established",
			"localAS": number(g.Spec, "asn"), "peerAS": number(n, "asn"),
			"remoteRouterID":     w.routerID(address),
			"connectionsDropped": int64(0), "establishedTransitions": int64(1), "lastResetReason": "",
			"messages": map[string]any{
				"received": messages(40 + int64(d.unit(g.Metadata.Name, address)*30)),
				"sent":     messages(12),
			},
			"ipv4UnicastPrefixes": prefixes(routes, 3),
			"ipv6UnicastPrefixes": prefixes(0, 0),
			"l2VPNEVPNPrefixes":   prefixes(2*routes, 2),
		}
	}
	return neighbors
}

// routerID finds the switch that has an address on one of its cables.
func (w wiring) routerID(address string) string {
	for name, ports := range w.ports {
		for _, p := range ports {
			if bare(p.ip) == address {
				return bare(text(w.switches[name].Spec, "protocolIP"))
			}
		}
	}
	return ""
}
