package generate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Autonomous systems as the installer allots them: one for all spines, one for all gateways, one for each leaf (or pair
// of leaves in MCLAG), from a range that ends.
const (
	spineASN     = 65100
	firstLeafASN = 65101
	lastLeafASN  = 65533
	gatewayASN   = 65534
)

// addresses are the pools that hydration allots from, each in steps of one from the next free address.
type addresses struct {
	management     netip.Addr
	managementBits int
	protocol       netip.Addr
	vtep           netip.Addr
	fabric         netip.Addr
	leafASN        int64
}

// installed are the pools of a default installation. Its control node has the address before the first switch's.
func installed() addresses {
	return addresses{
		management: netip.MustParseAddr("172.30.0.6"), managementBits: 21,
		protocol: netip.MustParseAddr("172.30.8.0"),
		vtep:     netip.MustParseAddr("172.30.12.0"),
		fabric:   netip.MustParseAddr("172.30.128.0"),
		leafASN:  firstLeafASN,
	}
}

// take returns the next address of a pool in CIDR form.
func take(pool *netip.Addr, bits int) string {
	address := netip.PrefixFrom(*pool, bits).String()
	*pool = pool.Next()
	return address
}

func (a *addresses) takeLeafASN() int64 {
	asn := a.leafASN
	a.leafASN++
	if a.leafASN > lastLeafASN {
		a.leafASN = firstLeafASN
	}
	return asn
}

// hydrate fills in what people leave to the installer, in its order: spines before leaves, by name, then gateways, then
// the routed cables by the name of their connection.
func (p *plan) hydrate() {
	switches := slices.Clone(p.switches)
	slices.SortStableFunc(switches, func(a, b *device) int {
		return cmp.Or(-cmp.Compare(a.class, b.class), cmp.Compare(a.name, b.name))
	})
	// A gateway is a node of the cluster, with a management address that its objects do not show.
	for range p.gateways {
		take(&p.addresses.management, p.addresses.managementBits)
	}
	pairs := map[string]*device{}
	for _, d := range switches {
		d.ip = take(&p.addresses.management, p.addresses.managementBits)
		d.protocolIP = take(&p.addresses.protocol, 32)
		switch twin := pairs[d.group]; {
		case d.class == spine:
			d.asn = spineASN
		case d.redundancy == "mclag" && twin != nil:
			// The two switches of an MCLAG pair pretend to be one.
			d.asn, d.vtepIP = twin.asn, twin.vtepIP
		default:
			d.asn, d.vtepIP = p.addresses.takeLeafASN(), take(&p.addresses.vtep, 32)
			if d.redundancy == "mclag" {
				pairs[d.group] = d
			}
		}
	}
	for _, d := range p.gateways {
		d.asn = gatewayASN
		d.protocolIP = take(&p.addresses.protocol, 32)
		d.vtepIP = take(&p.addresses.vtep, 32)
	}
	routed := slices.DeleteFunc(slices.Clone(p.connections), func(c *connection) bool { return !c.shape.routed })
	slices.SortFunc(routed, func(a, b *connection) int { return cmp.Compare(a.name, b.name) })
	for _, c := range routed {
		for i := range c.links {
			for side := range c.links[i] {
				c.links[i][side].ip = take(&p.addresses.fabric, 31)
			}
		}
	}
}

// macOf gives the nth switch of a fabric its MAC address.
func macOf(n int) string { return fmt.Sprintf("0c:20:12:ff:%02x:%02x", n%256, n/256) }
