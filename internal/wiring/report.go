package wiring

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Report is what a switch agent last said of itself and its switch. What a
// release does not tell is zero.
type Report struct {
	Agent
	Attempted   int64 // generation that it last tried to apply
	AttemptedAt time.Time
	AppliedAt   time.Time
	Version     string // of the agent
	Software    string // of the switch
	Reboot      bool   // the switch has to be rebooted for what is wanted
	Ports       []Port
	Sessions    []Session
}

// A Port is an interface of a switch.
type Port struct {
	Name  string
	Admin string // what it should be: up, down…
	Oper  string // what it is
	Speed string
	Seen  []string // LLDP neighbours: system and port, as they call themselves
}

// A Session is a BGP neighbour of a switch.
type Session struct{ VRF, Peer, State string }

// ReadReport reads what an Agent says, from its content and vitals.
func ReadReport(generation int64, content, vitals []byte) (Report, error) {
	a, err := ReadAgent(generation, content, vitals)
	r := Report{Agent: a}
	if err != nil {
		return r, err
	}
	c, err := Parse(content)
	if err != nil {
		return r, err
	}
	r.Attempted = whole(status(c, "lastAttemptGen"))
	r.Version, _ = status(c, "version").(string)
	r.Reboot = status(c, "rebootRequired") != nil && fmt.Sprint(status(c, "rebootRequired")) != "false" && fmt.Sprint(status(c, "rebootRequired")) != ""
	state, _ := status(c, "state").(map[string]any)
	nos, _ := state["nos"].(map[string]any)
	r.Software = text(nos, "softwareVersion")
	interfaces, _ := state["interfaces"].(map[string]any)
	for _, name := range sortedKeys(interfaces) {
		m, _ := interfaces[name].(map[string]any)
		// The second names are those of releases before 25.04.
		p := Port{Name: name, Admin: text(m, "admin", "adminStatus"), Oper: text(m, "oper", "operStatus"), Speed: text(m, "speed")}
		neighbours, _ := m["lldpNeighbors"].([]any)
		for _, n := range neighbours {
			m, _ := n.(map[string]any)
			if seen := strings.TrimSpace(text(m, "sysName", "systemName") + " " + text(m, "portID")); seen != "" {
				p.Seen = append(p.Seen, seen)
			}
		}
		r.Ports = append(r.Ports, p)
	}
	vrfs, _ := state["bgpNeighbors"].(map[string]any)
	for _, vrf := range sortedKeys(vrfs) {
		peers, _ := vrfs[vrf].(map[string]any)
		for _, peer := range sortedKeys(peers) {
			m, _ := peers[peer].(map[string]any)
			r.Sessions = append(r.Sessions, Session{vrf, peer, text(m, "state", "sessionState")})
		}
	}
	if vitals == nil {
		return r, nil
	}
	v, err := Parse(vitals)
	if err != nil {
		return r, err
	}
	r.AttemptedAt, r.AppliedAt = moment(status(v, "lastAttemptTime")), moment(status(v, "lastAppliedTime"))
	return r, nil
}

// PortOrder sorts ports as they are numbered: E1/2 before E1/10.
func PortOrder(ports []Port) {
	key := func(name string) string {
		var b strings.Builder
		for _, part := range strings.FieldsFunc(name, func(c rune) bool { return c == '/' }) {
			fmt.Fprintf(&b, "%6s/", part)
		}
		return b.String()
	}
	slices.SortStableFunc(ports, func(a, b Port) int { return strings.Compare(key(a.Name), key(b.Name)) })
}

// text is the first of some fields that holds one.
func text(m map[string]any, fields ...string) string {
	for _, f := range fields {
		switch v := m[f].(type) {
		case string:
			if v != "" {
				return v
			}
		case json.Number:
			return v.String()
		}
	}
	return ""
}

func whole(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

func moment(v any) time.Time {
	s, _ := v.(string)
	t, _ := time.Parse(time.RFC3339, s)
	return t
}
