package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hedgerow"
	"hedgerow/internal/kinds"
	"hedgerow/internal/view"
	"hedgerow/internal/web"
	"hedgerow/internal/wiring"
)

// drawing gathers what a map shows of one fabric.
type drawing struct {
	pages
	fabric  hedgerow.Fabric
	devices []view.MapDevice
	byName  map[string]string   // devices' ids by their names, which ports begin with
	behind  map[string][]string // Externals by the Connection that leads to them
	states  map[string]string   // of switch agents, by the switch's name
	cables  []connected
}

// connected is a cable and the Connection that it is of.
type connected struct {
	wiring.Cable
	connection, address string
}

// agents reads how the switch agents were.
func (d *drawing) agents(ctx context.Context) error {
	evidence, err := d.Evidence(ctx, d.fabric.ID)
	if err != nil {
		return err
	}
	var read time.Time
	for _, e := range evidence {
		if e.ID() == kinds.Agents {
			read = e.CompleteAt
		}
	}
	if read.IsZero() {
		return nil
	}
	return d.EachObject(ctx, d.fabric.ID, kinds.Agents, func(o hedgerow.Recorded) error {
		a, err := wiring.ReadAgent(o.Generation, o.Content, o.Vitals)
		state := a.State(read)
		if err != nil {
			state = wiring.AgentSilent
		}
		d.states[o.Name] = string(state)
		return nil
	})
}

// read takes the devices and cables among the objects of a kind.
func (d *drawing) read(ctx context.Context, k hedgerow.Kind) error {
	if !wiring.Drawn(k.ID()) {
		return nil
	}
	return d.EachObject(ctx, d.fabric.ID, k.ID(), func(o hedgerow.Recorded) error {
		tree, err := wiring.Parse(o.Content)
		if err != nil {
			return err
		}
		address := web.ObjectAddress(d.fabric.ID, k.Plural, o.Ref)
		if dev, ok := wiring.ReadDevice(k.ID(), tree); ok {
			id := k.Kind + "/" + o.Namespace + "/" + o.Name
			d.byName[o.Name] = id
			state := ""
			if dev.Tier == wiring.Spine || dev.Tier == wiring.Leaf {
				state = d.states[o.Name]
			}
			d.devices = append(d.devices, view.MapDevice{
				ID: id, Name: o.Name, Address: address, State: state, Tier: int(dev.Tier), Group: dev.Group, Folds: dev.Tier == wiring.Host,
				Title: hedgerow.OneLine(strings.Join(nonempty(k.Kind+" "+o.Name, dev.Role, dev.Description, agentTitle(state)), ", ")),
			})
		}
		if connection, external, ok := wiring.Attachment(k.ID(), tree); ok {
			d.behind[connection] = append(d.behind[connection], external)
		}
		if wiring.IsConnection(k.ID()) {
			for _, c := range wiring.Cables(tree) {
				d.cables = append(d.cables, connected{c, o.Name, address})
			}
		}
		return nil
	})
}

func agentTitle(state string) string {
	if state == "" {
		return ""
	}
	return "agent " + state
}

func nonempty(all ...string) (some []string) {
	for _, s := range all {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

// cabling is the cables between the devices that there are. One that leads out
// of the fabric ends at the Externals that are attached to it, or at what its
// Connection stands for.
func (d *drawing) cabling() []view.MapCable {
	var all []view.MapCable
	for _, c := range d.cables {
		a := d.byName[c.A.Device]
		title := fmt.Sprintf("%s %s – %s %s (%s)", c.A.Device, c.A.Port, c.B.Device, c.B.Port, c.connection)
		if c.B.Device != "" {
			all = append(all, view.MapCable{A: a, B: d.byName[c.B.Device], Title: hedgerow.OneLine(title), Address: c.address})
			continue
		}
		outside := d.behind[c.connection]
		if len(outside) == 0 {
			id := "outside/" + c.connection
			d.devices = append(d.devices, view.MapDevice{ID: id, Name: c.connection, Address: c.address, Tier: int(wiring.Edge), Title: hedgerow.OneLine("what is behind " + c.connection)})
			all = append(all, view.MapCable{A: a, B: id, Title: hedgerow.OneLine(fmt.Sprintf("%s %s (%s)", c.A.Device, c.A.Port, c.connection)), Address: c.address})
		}
		for _, external := range outside {
			all = append(all, view.MapCable{A: a, B: d.byName[external], Title: hedgerow.OneLine(fmt.Sprintf("%s %s – %s (%s)", c.A.Device, c.A.Port, external, c.connection)), Address: c.address})
		}
	}
	return all
}
