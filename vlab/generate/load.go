package generate

import (
	"fmt"
	"iter"
	"net/netip"
)

// The shape of a load fabric. A rack is two leaves that share its servers; a pod is as many racks as its spines have
// ports for (48, one cable a leaf).
const (
	racksPerPod    = 24
	spinesPerPod   = 4
	serversPerRack = 16
)

// Load makes a fabric of exactly n objects, about two thirds Connections, for tests of size. Every object refers only to
// objects before it, so any prefix is a fabric, and a larger n continues a smaller one. Racks are made as they are
// asked for. Names stay unique at any n; autonomous systems are used again after 433 leaves, VLANs after 2,000 racks.
func Load(n int) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		l := &loader{yield: yield, left: n}
		l.plan = &plan{
			vlans:   [2]int64{1000, 2999},
			subnets: []string{"10.0.0.0/8"},
			// A default installation's pools end at a thousand switches.
			addresses: addresses{
				management: netip.MustParseAddr("172.16.0.6"), managementBits: 14,
				protocol: netip.MustParseAddr("172.20.0.0"),
				vtep:     netip.MustParseAddr("172.21.0.0"),
				fabric:   netip.MustParseAddr("172.22.0.0"),
				leafASN:  firstLeafASN,
			},
			annotated: true,
		}
		for _, o := range l.plan.namespaces() {
			l.emit(o)
		}
		var spines []*device
		for rack := 0; l.left > 0; rack++ {
			if rack%racksPerPod == 0 {
				spines = l.spines(rack / racksPerPod)
			}
			l.rack(rack, spines)
		}
	}
}

// loader carries what racks count on together: addresses, the number of switches, and how many objects are still wanted.
type loader struct {
	plan     *plan
	yield    func(Object) bool
	left     int
	switches int
}

// emit hands an object out, unless there were enough or the consumer left.
func (l *loader) emit(o Object) {
	if l.left <= 0 {
		return
	}
	l.left--
	if !l.yield(o) {
		l.left = 0
	}
}

// place numbers a switch, gives it its addresses and emits it. The plan forgets it: a load fabric is never in memory as
// a whole.
func (l *loader) place(d *device) *device {
	l.switches++
	d.mac = macOf(l.switches)
	d.description = fmt.Sprintf("LOAD-%04d", l.switches)
	l.plan.switches, l.plan.connections = []*device{d}, nil
	l.plan.hydrate()
	l.emit(switchObject(d))
	return d
}

// connect cables devices and emits their connection.
func (l *loader) connect(s shape, near *device, count int, far ...*device) *connection {
	l.plan.switches, l.plan.connections = nil, nil
	c := l.plan.connect(s, near, count, far...)
	l.plan.hydrate()
	l.emit(connectionObject(c, l.plan.annotated))
	return c
}

func (l *loader) spines(pod int) []*device {
	var spines []*device
	for i := range spinesPerPod {
		spines = append(spines, l.place(&device{name: fmt.Sprintf("spine-%03d-%d", pod+1, i+1), class: spine}))
	}
	return spines
}

func (l *loader) rack(index int, spines []*device) {
	group := fmt.Sprintf("eslag-%04d", index+1)
	l.emit(object("SwitchGroup", group, nil, map[string]any{}))
	var leaves []*device
	for i := range 2 {
		name := fmt.Sprintf("leaf-%04d", 2*index+i+1)
		leaves = append(leaves, l.place(&device{name: name, class: leaf, group: group, redundancy: "eslag"}))
	}
	for _, s := range spines {
		for _, d := range leaves {
			l.connect(fabricLinks, s, 1, d)
		}
	}
	tenant := fmt.Sprintf("vpc-%04d", index+1)
	cidr := fmt.Sprintf("10.%d.%d.0/24", index/256%256, index%256)
	l.emit(vpc(tenant, map[string]any{"default": dhcpSubnet(cidr, int64(1000+index%2000))}))
	if index%2 == 1 {
		l.emit(vpcPeering(fmt.Sprintf("vpc-%04d", index), tenant))
	}
	for i := 0; i < serversPerRack && l.left > 0; i++ {
		s := &device{name: fmt.Sprintf("server-%05d", index*serversPerRack+i+1), class: server}
		s.description = "Load " + s.name + " of " + group
		l.emit(serverObject(s))
		shared := l.connect(eslag, s, 1, leaves...)
		l.emit(attachment(tenant, "default", shared.name, false))
		l.connect(unbundled, s, 1, leaves[i%2])
		l.connect(bundled, s, 2, leaves[(i+1)%2])
	}
}
