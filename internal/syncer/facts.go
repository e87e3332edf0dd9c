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
	EachAgent(ctx context.Context, fabric int64, kind hedgerow.KindID, fn func(generation int64, content, vitals []byte, at time.Time) error) error
}

// Facts returns what the record proves about a fabric, its switch agents
// included: objects of the kind agents. An agent is silent when its heartbeat
// was old already at the time of reading; how old the reading is, is another
// matter.
func Facts(ctx context.Context, s FactStore, f hedgerow.Fabric, agents hedgerow.KindID) (hedgerow.Facts, error) {
	facts, err := s.Facts(ctx, f)
	if err != nil {
		return facts, err
	}
	err = s.EachAgent(ctx, f.ID, agents, func(generation int64, content, vitals []byte, at time.Time) error {
		facts.Agents.Total++
		a, err := wiring.ReadAgent(generation, content, vitals)
		switch {
		case err != nil || at.Sub(a.Heartbeat) > hedgerow.SilentAfter:
			facts.Agents.Silent++
		case a.Applied != a.Wanted:
			facts.Agents.Pending++
		}
		return nil
	})
	return facts, err
}
