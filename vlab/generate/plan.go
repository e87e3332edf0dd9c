package generate

import "fmt"

// plan is a fabric before it is written down as objects: devices, and the cables between them in the order in which they
// were laid, since ports are allotted in that order.
type plan struct {
	groups      []string
	switches    []*device
	servers     []*device
	gateways    []*device
	connections []*connection
	tenants     []Object
	vlans       [2]int64
	subnets     []string
	addresses   addresses
	// annotated says whether the release writes what a Connection touches into its annotations (since v0.48).
	annotated bool
}

// device is anything that a cable ends in.
type device struct {
	name        string
	class       class
	description string
	// group and redundancy are set on leaves that share servers; redundancy is mclag or eslag.
	group, redundancy string
	used              int
	mac               string
	// The rest is filled in by hydrate.
	asn                    int64
	ip, protocolIP, vtepIP string
	connections            []*connection
}

type class int

const (
	leaf class = iota
	spine
	server
	gatewayNode
)

func (c class) isSwitch() bool { return c == leaf || c == spine }

// port takes the device's next free port.
func (d *device) port() end {
	d.used++
	if d.class.isSwitch() {
		return end{device: d, port: fmt.Sprintf("%s/E1/%d", d.name, d.used)}
	}
	return end{device: d, port: fmt.Sprintf("%s/enp2s%d", d.name, d.used)}
}

// connection is one Connection object: all cables of one purpose between the same devices.
type connection struct {
	shape shape
	name  string
	links []link
	// sessions are the second set of cables that only an MCLAG pair has.
	sessions []link
}

type link [2]end

type end struct {
	device   *device
	port, ip string
}

// connect lays count cables (or, for a multihomed server, one to each of the far devices in turn).
func (p *plan) connect(s shape, near *device, count int, far ...*device) *connection {
	c := &connection{shape: s, name: near.name + "--" + s.label}
	for _, d := range far {
		if d != near {
			c.name += "--" + d.name
		}
	}
	c.links = cables(near, count, far)
	p.add(c)
	return c
}

func (p *plan) add(c *connection) {
	p.connections = append(p.connections, c)
	for _, d := range c.devices() {
		d.connections = append(d.connections, c)
	}
}

func cables(near *device, count int, far []*device) []link {
	var links []link
	for range count {
		if len(far) == 0 {
			links = append(links, link{near.port()})
		}
		for _, d := range far {
			links = append(links, link{near.port(), d.port()})
		}
	}
	return links
}

// devices returns what the connection touches, each once, in the order of its cables.
func (c *connection) devices() []*device {
	var devices []*device
	seen := map[*device]bool{nil: true}
	for _, l := range c.links {
		for _, e := range l {
			if !seen[e.device] {
				seen[e.device] = true
				devices = append(devices, e.device)
			}
		}
	}
	return devices
}
