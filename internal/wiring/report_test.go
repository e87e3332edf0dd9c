package wiring_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hedgerow/internal/wiring"
)

func TestReadReport(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := wiring.Report{
		Agent:     wiring.Agent{Wanted: 9, Applied: 7, Heartbeat: at},
		Attempted: 8, AttemptedAt: at.Add(-time.Minute), AppliedAt: at.Add(-time.Hour), Version: "v0.87.4", Software: "4.5.0", Reboot: true,
		Ports: []wiring.Port{
			{Name: "E1/1", Admin: "up", Oper: "down", Speed: "25G", Seen: []string{"spine-01 E1/3", "x"}},
			{Name: "E1/10", Admin: "down", Oper: "up"}, // as before 25.04
			{Name: "E1/2"},
			{Name: "M1"},
		},
		Sessions: []wiring.Session{{"VrfV1", "10.0.0.1", "idle"}, {"default", "172.30.128.1", "established"}},
	}
	got, err := wiring.ReadReport(9, []byte(`{"status":{"lastAppliedGen":7,"lastAttemptGen":8,"version":"v0.87.4","rebootRequired":"later","state":{"nos":{"softwareVersion":"4.5.0"},
		"interfaces":{"M1":null,"E1/2":{"speed":[]},"E1/10":{"adminStatus":"down","operStatus":"up"},"E1/1":{"admin":"up","oper":"down","speed":"25G","lldpNeighbors":[{"sysName":"spine-01","portID":"E1/3"},{"portID":"x"},{},7]}},
		"bgpNeighbors":{"default":{"172.30.128.1":{"state":"established"}},"VrfV1":{"10.0.0.1":{"sessionState":"idle"}}}}}}`),
		[]byte(`{"status":{"lastHeartbeat":"2026-03-01T12:00:00Z","lastAttemptTime":"2026-03-01T11:59:00Z","lastAppliedTime":"2026-03-01T11:00:00Z"}}`))
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	wiring.PortOrder(got.Ports)
	var names []string
	for _, p := range got.Ports {
		names = append(names, p.Name)
	}
	if d := cmp.Diff([]string{"E1/1", "E1/2", "E1/10", "M1"}, names); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	for _, content := range []string{`{}`, `[]`, `null`, `{"status":{"state":7,"rebootRequired":false}}`, `{"status":{"state":{"interfaces":[],"bgpNeighbors":{"x":1}}}}`} {
		if r, err := wiring.ReadReport(1, []byte(content), nil); err != nil || len(r.Ports) > 0 || r.Reboot {
			t.Errorf("%s: %+v, %v", content, r, err)
		}
	}
	if _, err := wiring.ReadReport(1, []byte(`{`), nil); err == nil {
		t.Error("no JSON, and no error")
	}
}

func TestAgentState(t *testing.T) {
	read := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		agent wiring.Agent
		want  wiring.AgentState
	}{
		{wiring.Agent{}, wiring.AgentPending},
		{wiring.Agent{Wanted: 2, Applied: 2, Heartbeat: read}, wiring.AgentReady},
		{wiring.Agent{Wanted: 2, Applied: 2, Heartbeat: read.Add(-3 * time.Minute)}, wiring.AgentReady},
		{wiring.Agent{Wanted: 2, Applied: 2, Heartbeat: read.Add(-3*time.Minute - 1)}, wiring.AgentSilent},
		{wiring.Agent{Wanted: 3, Applied: 2, Heartbeat: read.Add(-time.Hour)}, wiring.AgentSilent},
		{wiring.Agent{Wanted: 3, Applied: 2, Heartbeat: read}, wiring.AgentPending},
	} {
		if got := tc.agent.State(read); got != tc.want {
			t.Errorf("%+v is %s, want %s", tc.agent, got, tc.want)
		}
	}
}
