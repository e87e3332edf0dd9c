package main

import (
	"context"
	"slices"
	"strings"

	"hedgerow"
	"hedgerow/internal/kinds"
	"hedgerow/internal/web"
	"hedgerow/internal/wiring"
)

// Agent says what the agent of a switch has said, nil for objects that have
// none: an agent bears its switch's name.
func (p pages) Agent(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind, o hedgerow.Recorded) (*web.Agent, error) {
	all, err := p.app.kinds(ctx, f)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(a hedgerow.Kind) bool { return a.ID() == kinds.Agents })
	if at < 0 || !slices.ContainsFunc(all[at].References, func(r hedgerow.Reference) bool { return r.To == k.ID() }) {
		return nil, nil
	}
	named, err := p.Named(ctx, f.ID, kinds.Agents, o.Name)
	if err != nil || len(named) == 0 {
		return nil, err
	}
	agent := named[0]
	r, err := wiring.ReadReport(agent.Generation, agent.Content, agent.Vitals)
	if err != nil {
		return nil, err
	}
	evidence, err := p.Evidence(ctx, f.ID)
	if err != nil {
		return nil, err
	}
	a := &web.Agent{
		Wanted: r.Wanted, Attempted: r.Attempted, Applied: r.Applied, AttemptedAt: r.AttemptedAt, AppliedAt: r.AppliedAt, Heartbeat: r.Heartbeat,
		Version: r.Version, Software: r.Software, Reboot: r.Reboot, Sessions: len(r.Sessions), Address: web.ObjectAddress(f.ID, all[at].Plural, agent.Ref),
	}
	for _, e := range evidence {
		if e.ID() == kinds.Agents {
			a.ReadAt = e.CompleteAt
		}
	}
	if a.State = "not known"; !a.ReadAt.IsZero() { // else agents are not observed, or never were whole
		a.State = string(r.State(a.ReadAt))
	}
	for _, s := range r.Sessions {
		if strings.EqualFold(s.State, "established") {
			a.SessionsUp++
		}
	}
	plugged, err := p.plugged(ctx, f, all, o.Name)
	if err != nil {
		return nil, err
	}
	wiring.PortOrder(r.Ports)
	for _, port := range r.Ports {
		line := web.AgentPort{Name: port.Name, Admin: port.Admin, Oper: port.Oper, Speed: port.Speed, Seen: strings.Join(port.Seen, ", ")}
		if there, ok := plugged[port.Name]; ok {
			line.Plugged, line.Address = there.text, there.address
		}
		if port.Admin == "up" && port.Oper != "up" {
			a.PortsBad++
		}
		a.Ports = append(a.Ports, line)
	}
	return a, nil
}

// far is the other end of a cable.
type far struct{ text, address string }

// plugged says, by the ports of a device, what is plugged into each.
func (p pages) plugged(ctx context.Context, f hedgerow.Fabric, all []hedgerow.Kind, device string) (map[string]far, error) {
	ends := map[string]far{}
	for _, k := range all {
		if !wiring.IsConnection(k.ID()) {
			continue
		}
		err := p.Mentioning(ctx, f.ID, k.ID(), device+"/", func(o hedgerow.Recorded) error {
			tree, err := wiring.Parse(o.Content)
			if err != nil {
				return err
			}
			for _, c := range wiring.Cables(tree) {
				for _, e := range [][2]wiring.End{{c.A, c.B}, {c.B, c.A}} {
					if e[0].Device != device {
						continue
					}
					text := strings.TrimSpace(e[1].Device + " " + e[1].Port)
					if text == "" {
						text = o.Name
					}
					ends[e[0].Port] = far{text, web.ObjectAddress(f.ID, k.Plural, o.Ref)}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ends, nil
}
