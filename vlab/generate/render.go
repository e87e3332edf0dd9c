package generate

import (
	"net/netip"
	"slices"
	"strings"
)

// objects writes the hydrated plan down, in no particular order.
func (p *plan) objects() []Object {
	objects := p.namespaces()
	for _, g := range p.groups {
		objects = append(objects, object("SwitchGroup", g, nil, map[string]any{}))
	}
	for _, d := range p.switches {
		objects = append(objects, switchObject(d))
	}
	for _, d := range p.servers {
		objects = append(objects, serverObject(d))
	}
	for _, c := range p.connections {
		objects = append(objects, connectionObject(c, p.annotated))
	}
	for i, d := range p.gateways {
		objects = append(objects, gatewayObject(d, i))
	}
	return append(objects, p.tenants...)
}

func (p *plan) namespaces() []Object {
	ranges := []any{map[string]any{"from": p.vlans[0], "to": p.vlans[1]}}
	return []Object{
		object("VLANNamespace", "default", nil, map[string]any{"ranges": ranges}),
		object("IPv4Namespace", "default", nil, map[string]any{"subnets": list(p.subnets...)}),
	}
}

func switchObject(d *device) Object {
	labels := map[string]any{labelProfile: "vs", labelOfVLANs + "default": "true"}
	redundancy := map[string]any{}
	spec := map[string]any{
		"asn":            d.asn,
		"boot":           map[string]any{"mac": d.mac},
		"description":    d.description,
		"ecmp":           map[string]any{},
		"ip":             d.ip,
		"profile":        "vs",
		"protocolIP":     d.protocolIP,
		"redundancy":     redundancy,
		"role":           "spine",
		"vlanNamespaces": list("default"),
	}
	if d.class == leaf {
		spec["role"] = "server-leaf"
		spec["vtepIP"] = d.vtepIP
	}
	if d.group != "" {
		labels[labelOfGroup+d.group] = "true"
		spec["groups"] = list(d.group)
		redundancy["group"], redundancy["type"] = d.group, d.redundancy
	}
	return object("Switch", d.name, labels, spec)
}

func serverObject(d *device) Object {
	return object("Server", d.name, nil, map[string]any{"description": d.description})
}

func connectionObject(c *connection, annotated bool) Object {
	labels := map[string]any{labelConnectionType: c.shape.label}
	var switches, servers []string
	for _, d := range c.devices() {
		switch {
		case d.class.isSwitch():
			labels[labelOfSwitch+d.name] = "true"
			switches = append(switches, d.name)
		case d.class == server:
			labels[labelOfServer+d.name] = "true"
			servers = append(servers, d.name)
		}
	}
	o := object("Connection", c.name, labels, c.spec())
	if annotated {
		slices.Sort(switches)
		annotate(o, annotationSwitches, strings.Join(switches, ","))
		annotate(o, annotationServers, strings.Join(servers, ","))
	}
	return o
}

// gatewayObject copies the far ends of the gateway's cables into its spec: it refers to its switches by address only.
func gatewayObject(d *device, index int) Object {
	interfaces := map[string]any{}
	var neighbors []any
	for _, c := range d.connections {
		for _, l := range c.links {
			_, name, _ := strings.Cut(l[1].port, "/")
			interfaces[name] = map[string]any{"ips": []any{l[1].ip}, "mtu": int64(9100)}
			neighbors = append(neighbors, map[string]any{
				"asn":    l[0].device.asn,
				"ip":     netip.MustParsePrefix(l[0].ip).Addr().String(),
				"source": name,
			})
		}
	}
	return object("Gateway", d.name, nil, map[string]any{
		"asn":        d.asn,
		"groups":     []any{map[string]any{"name": "default"}},
		"interfaces": interfaces,
		"logs":       map[string]any{"default": "info", "tags": map[string]any{"all": "info"}},
		"neighbors":  neighbors,
		"profiling":  map[string]any{},
		"protocolIP": d.protocolIP,
		"vtepIP":     d.vtepIP,
		"vtepMAC":    gatewayMAC(index),
		"vtepMTU":    int64(9036),
		"workers":    int64(8),
	})
}
