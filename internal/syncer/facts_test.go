package syncer_test

import (
	"fmt"
	"testing"
	"time"

	"hedgerow"
	"hedgerow/internal/syncer"
)

// TestSilentAgent: an agent that stopped is not rewritten any more, so nothing
// of it moves; that its heartbeat is old must show all the same.
func TestSilentAgent(t *testing.T) {
	b := newBench(t)
	agent := object(switches, "leaf-01", "u1", "1", "x")
	agent.Content = []byte(`{"kind":"Switch","metadata":{"name":"leaf-01"},"status":{"lastAppliedGen":1}}`)
	agent.Vitals = fmt.Appendf(nil, `{"status":{"lastHeartbeat":%q}}`, b.clock.Format(time.RFC3339))
	b.src.reads["switches"] = holds(agent)
	agents := func() hedgerow.AgentFacts {
		t.Helper()
		f, err := syncer.Facts(t.Context(), b.db, b.fabric, switches.ID())
		if err != nil {
			t.Fatal(err)
		}
		return f.Agents
	}
	b.observe()
	b.same("agents, fresh", hedgerow.AgentFacts{Total: 1}, agents())
	b.clock = b.clock.Add(hedgerow.SilentAfter)
	b.observe()
	b.same("agents, the same later", hedgerow.AgentFacts{Total: 1, Silent: 1}, agents())
	b.fabric.Policy.Exclude = []string{"switches"}
	b.observe()
	b.same("agents, excluded", hedgerow.AgentFacts{}, agents())
}
