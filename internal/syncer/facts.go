package syncer

import (
	"context"
	"time"

	"hedgerow"
	"hedgerow/internal/wiring"
)

// FactStore is what Facts reads.
type FactStore interface {
	Facts(ctx context.Context, f hedgerow.Fabric) (hedgerow.Facts, error)
	Evidence(ctx context.Context, fabric int64) ([]hedgerow.KindEvidence, error)
	EachAgent(ctx context.Context, fabric int64, kind hedgerow.KindID, fn func(generation int64, content, vitals []byte) error) error
}

// Facts returns what the record proves about a fabric, its switch agents
// included: objects of the kind agents. An agent is silent when its heartbeat
// was old already at the last complete reading of agents; how old the reading
// is, is another matter.
func Facts(ctx context.Context, s FactStore, f hedgerow.Fabric, agents hedgerow.KindID) (hedgerow.Facts, error) {
	facts, err := s.Facts(ctx, f)
	if err != nil {
		return facts, err
	}
	evidence, err := s.Evidence(ctx, f.ID)
	if err != nil {
		return facts, err
	}
	var read time.Time // zero: agents are not observed, or never were whole
	for _, e := range evidence {
		if e.ID() == agents {
			read = e.CompleteAt
		}
	}
	if read.IsZero() {
		return facts, nil
	}
	err = s.EachAgent(ctx, f.ID, agents, func(generation int64, content, vitals []byte) error {
		facts.Agents.Total++
		a, err := wiring.ReadAgent(generation, content, vitals)
		state := a.State(read)
		switch {
		case err != nil || state == wiring.AgentSilent:
			facts.Agents.Silent++
		case state == wiring.AgentPending:
			facts.Agents.Pending++
		}
		return nil
	})
	return facts, err
}
