package agents

import (
	"cmp"
	"slices"
	"strings"
)

// wiring is what the machines are made from.
type wiring struct {
	switches map[string]item
	gateways []item
	// ports are the cabled ports of each switch, in the order of their numbers.
	ports map[string][]port
	// connections are those that touch a switch, by the switch's name.
	connections map[string][]item
	// groups are the switches of each redundancy group, sorted.
	groups map[string][]string
}

// port is one cabled port of a switch and what the cable leads to.
type port struct {
	name, ip string
	// use is the field of the Connection's spec: fabric, eslag, external and so on.
	use                    string
	peer, peerPort, peerIP string
}

// routed says whether a BGP session runs over the port.
func (p port) routed() bool { return p.ip != "" && p.peerIP != "" }

func newWiring(switches, connections, gateways []item) wiring {
	w := wiring{
		switches: map[string]item{}, gateways: gateways,
		ports: map[string][]port{}, connections: map[string][]item{}, groups: map[string][]string{},
	}
	for _, s := range switches {
		name, group := s.Metadata.Name, text(s.Spec, "redundancy", "group")
		w.switches[name] = s
		if group != "" {
			w.groups[group] = append(w.groups[group], name)
		}
	}
	for _, members := range w.groups {
		slices.Sort(members)
	}
	for _, c := range connections {
		touched := map[string]bool{}
		for device, ports := range portsOf(c.Spec) {
			if _, isSwitch := w.switches[device]; !isSwitch {
				continue
			}
			touched[device] = true
			w.ports[device] = append(w.ports[device], ports...)
		}
		for device := range touched {
			w.connections[device] = append(w.connections[device], c)
		}
	}
	for _, ports := range w.ports {
		slices.SortFunc(ports, func(a, b port) int { return compareNumbers(a.name, b.name) })
	}
	return w
}

// portsOf finds the ends of a Connection's cables, by device. It looks for cables rather than for types of connection:
// whatever is under spec, a cable is a "link" or a member of a list, and an end is something with a port.
func portsOf(spec map[string]any) map[string][]port {
	ports := map[string][]port{}
	for use, content := range spec {
		fields, _ := content.(map[string]any)
		for _, field := range fields {
			cables, isList := field.([]any)
			if !isList {
				cables = []any{field}
			}
			for _, cable := range cables {
				sides, _ := cable.(map[string]any)
				addCable(ports, use, sides)
			}
		}
	}
	return ports
}

func addCable(ports map[string][]port, use string, sides map[string]any) {
	type end struct{ device, port, ip string }
	var ends []end
	for _, side := range sides {
		device, name, found := strings.Cut(text(side, "port"), "/")
		if found {
			ends = append(ends, end{device, name, text(side, "ip")})
		}
	}
	for i, e := range ends {
		p := port{name: e.port, ip: e.ip, use: use}
		if len(ends) == 2 {
			far := ends[1-i]
			p.peer, p.peerPort, p.peerIP = far.device, far.port, far.ip
		}
		ports[e.device] = append(ports[e.device], p)
	}
}

// describe makes the descriptions of all machines, in no particular order.
func (w wiring) describe(d dice) []description {
	var all []description
	for _, s := range w.switches {
		all = append(all, w.describeSwitch(d, s))
	}
	for _, g := range w.gateways {
		all = append(all, w.describeGateway(d, g))
	}
	return all
}

// compareNumbers orders port names as people do: E1/2 before E1/10.
func compareNumbers(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	return slices.CompareFunc(as, bs, func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	})
}

// text reads a string at a path, or "".
func text(v any, path ...string) string {
	s, _ := dig(v, path...).(string)
	return s
}

// number reads a number at a path, or 0.
func number(v any, path ...string) int64 {
	n, _ := dig(v, path...).(float64)
	return int64(n)
}

// dig follows keys as far as they lead.
func dig(v any, path ...string) any {
	for _, key := range path {
		fields, _ := v.(map[string]any)
		v = fields[key]
	}
	return v
}
