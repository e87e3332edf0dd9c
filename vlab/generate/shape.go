package generate

// shape says how a type of connection is written.
type shape struct {
	// field is the key under spec, label the value of the connection-type label and the middle of the name.
	field, label string
	// sides are the keys of the two ends of a cable; a far side without a key is outside the fabric.
	sides [2]string
	// single connections hold one cable under "link" instead of a list under "links".
	single bool
	// routed connections carry an address on both ends.
	routed bool
}

var (
	fabricLinks   = shape{field: "fabric", label: "fabric", sides: [2]string{"spine", "leaf"}, routed: true}
	meshLinks     = shape{field: "mesh", label: "mesh", sides: [2]string{"leaf1", "leaf2"}, routed: true}
	gatewayLinks  = shape{field: "gateway", label: "gateway", sides: [2]string{"switch", "gateway"}, routed: true}
	mclagDomain   = shape{field: "mclagDomain", label: "mclag-domain", sides: [2]string{"switch1", "switch2"}}
	vpcLoopback   = shape{field: "vpcLoopback", label: "vpc-loopback", sides: [2]string{"switch1", "switch2"}}
	mclag         = shape{field: "mclag", label: "mclag", sides: toServer}
	eslag         = shape{field: "eslag", label: "eslag", sides: toServer}
	bundled       = shape{field: "bundled", label: "bundled", sides: toServer}
	unbundled     = shape{field: "unbundled", label: "unbundled", sides: toServer, single: true}
	externalLinks = shape{field: "external", label: "external", sides: [2]string{"switch"}, single: true}

	toServer = [2]string{"server", "switch"}
)

// spec writes a connection down.
func (c *connection) spec() map[string]any {
	links := c.render(c.links)
	switch {
	case c.shape.single:
		return map[string]any{c.shape.field: map[string]any{"link": links[0]}}
	case c.sessions != nil:
		return map[string]any{c.shape.field: map[string]any{"peerLinks": links, "sessionLinks": c.render(c.sessions)}}
	default:
		return map[string]any{c.shape.field: map[string]any{"links": links}}
	}
}

func (c *connection) render(links []link) []any {
	rendered := make([]any, 0, len(links))
	for _, l := range links {
		cable := map[string]any{}
		for i, side := range c.shape.sides {
			if side == "" {
				continue
			}
			port := map[string]any{"port": l[i].port}
			if l[i].ip != "" {
				port["ip"] = l[i].ip
			}
			cable[side] = port
		}
		rendered = append(rendered, cable)
	}
	return rendered
}
