package generate

import "fmt"

// newPlan returns a fabric without devices, at the installer's defaults.
func newPlan() *plan {
	return &plan{
		groups:    []string{"empty"},
		vlans:     [2]int64{1000, 2999},
		subnets:   []string{"10.0.0.0/16"},
		addresses: installed(),
	}
}

// spineLeaf is the reference set of 48 objects: what the vendor's generator made up to release 25.03 when asked for
// nothing in particular, with the kinds of connection that later releases dropped.
func spineLeaf() *plan {
	p := newPlan()
	pair := p.leaves("mclag", 2)
	multihomed := p.leaves("eslag", 2)
	orphan := p.leaves("", 1)
	spines := p.spines(2)

	p.mclagDomain(pair[0], pair[1])
	p.serve(pair, mclag)
	p.serve(multihomed, eslag)
	p.serveOrphan(orphan[0])
	p.uplink(spines)
	for _, d := range p.leafSwitches() {
		p.connect(vpcLoopback, d, 2, d)
	}
	return p
}

// mesh is three leaves without a spine.
func mesh() *plan {
	p := newPlan()
	p.annotated = true
	p.serve(p.leaves("eslag", 2), eslag)
	p.serveOrphan(p.leaves("", 1)[0])
	leaves := p.leafSwitches()
	for i, a := range leaves {
		for _, b := range leaves[i+1:] {
			p.connect(meshLinks, a, 2, b)
		}
	}
	return p
}

// gateway is a spine-leaf fabric of a current release with two gateways, an external network and tenants: every kind
// that people author is in it.
func gateway() *plan {
	p := newPlan()
	p.annotated = true
	pair, orphan := p.leaves("eslag", 2), p.leaves("", 1)
	spines := p.spines(2)
	p.serve(pair, eslag)
	p.serveOrphan(orphan[0])
	p.uplink(spines)
	for i := range 2 {
		p.gateways = append(p.gateways, &device{name: fmt.Sprintf("gateway-%d", i+1), class: gatewayNode})
	}
	for _, s := range spines {
		for _, g := range p.gateways {
			p.connect(gatewayLinks, s, 1, g)
		}
	}
	// The vendor's generator cables externals first. Here the edge router came last, to a fabric that was running.
	edge := p.connect(externalLinks, orphan[0], 1)
	p.tenants = demoTenants(p.connections, edge.name)
	return p
}

// leaves adds count leaves that share servers by the given redundancy, or none.
func (p *plan) leaves(redundancy string, count int) []*device {
	description, group := "", ""
	if redundancy != "" {
		n := 1
		for _, d := range p.switches {
			if d.redundancy == redundancy {
				n++
			}
		}
		group = fmt.Sprintf("%s-%d", redundancy, n)
		description = fmt.Sprintf(" %s %d", titles[redundancy], n)
		p.groups = append(p.groups, group)
	}
	var added []*device
	for range count {
		n := len(p.leafSwitches())
		d := p.addSwitch(leaf, fmt.Sprintf("leaf-%02d", n+1), description)
		d.group, d.redundancy = group, redundancy
		added = append(added, d)
	}
	return added
}

func (p *plan) spines(count int) []*device {
	var added []*device
	for i := range count {
		added = append(added, p.addSwitch(spine, fmt.Sprintf("spine-%02d", i+1), ""))
	}
	return added
}

func (p *plan) addSwitch(c class, name, suffix string) *device {
	n := len(p.switches)
	d := &device{name: name, class: c, mac: macOf(n), description: fmt.Sprintf("VS-%02d%s", n+1, suffix)}
	p.switches = append(p.switches, d)
	return d
}

func (p *plan) leafSwitches() []*device {
	var leaves []*device
	for _, d := range p.switches {
		if d.class == leaf {
			leaves = append(leaves, d)
		}
	}
	return leaves
}

var titles = map[string]string{"mclag": "MCLAG", "eslag": "ESLAG", "unbundled": "Unbundled", "bundled": "Bundled"}

// serve adds the servers of a pair of leaves: two on both, one unbundled on the first, one bundled on the second.
func (p *plan) serve(pair []*device, both shape) {
	for range 2 {
		p.connect(both, p.addServer(both, pair...), 1, pair...)
	}
	p.connect(unbundled, p.addServer(unbundled, pair[0]), 1, pair[0])
	p.connect(bundled, p.addServer(bundled, pair[1]), 2, pair[1])
}

func (p *plan) serveOrphan(d *device) {
	p.connect(unbundled, p.addServer(unbundled, d), 1, d)
	p.connect(bundled, p.addServer(bundled, d), 2, d)
}

func (p *plan) addServer(s shape, leaves ...*device) *device {
	n := len(p.servers) + 1
	d := &device{name: fmt.Sprintf("server-%02d", n), class: server}
	d.description = fmt.Sprintf("S-%02d %s", n, titles[s.field])
	for _, l := range leaves {
		d.description += " " + l.name
	}
	p.servers = append(p.servers, d)
	return d
}

// uplink cables every leaf to every spine, twice.
func (p *plan) uplink(spines []*device) {
	for _, s := range spines {
		for _, l := range p.leafSwitches() {
			p.connect(fabricLinks, s, 2, l)
		}
	}
}

func (p *plan) mclagDomain(a, b *device) {
	c := &connection{shape: mclagDomain, name: a.name + "--" + mclagDomain.label + "--" + b.name}
	c.sessions = cables(a, 2, []*device{b})
	c.links = cables(a, 2, []*device{b})
	p.add(c)
}

func gatewayMAC(index int) string { return fmt.Sprintf("CA:FE:BA:BE:01:%02X", index+1) }
