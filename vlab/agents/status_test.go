package agents

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hedgerow/vlab/generate"
	"hedgerow/vlab/generate/schematest"
)

var noon = time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)

// wiringOf reads a generated fabric as the simulation would list it.
func wiringOf(t *testing.T, fabric string, edits ...func(kind string, o generate.Object)) wiring {
	t.Helper()
	objects, err := generate.Fabric(fabric)
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string][]item{}
	for _, o := range objects {
		kind := o["kind"].(string)
		for _, edit := range edits {
			edit(kind, o)
		}
		var read item
		reread(t, o, &read)
		lists[kind] = append(lists[kind], read)
	}
	return newWiring(lists["Switch"], lists["Connection"], lists["Gateway"])
}

func reread(t *testing.T, from, into any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// report is the status of one machine of a wiring at an instant, as it is read back.
func report(t *testing.T, w wiring, name string, now time.Time) map[string]any {
	t.Helper()
	return reports(t, w, name)(now)
}

// reports finds a machine, and returns its status at any instant.
func reports(t *testing.T, w wiring, name string) func(now time.Time) map[string]any {
	t.Helper()
	for _, d := range w.describe(7) {
		if d.name == name {
			return func(now time.Time) map[string]any {
				var status map[string]any
				reread(t, d.report(applied(), now), &status)
				return status
			}
		}
	}
	t.Fatalf("no machine is called %s", name)
	return nil
}

func applied() progress {
	return progress{
		created: noon.Add(-time.Hour), generation: 3, attemptGen: 3, attemptTime: noon, appliedGen: 3, appliedTime: noon,
		transition: noon,
	}
}

func TestAgainstSchemas(t *testing.T) {
	schemas := schematest.Load(t, schematest.Fixtures(t, "crds"))
	unusual := func(kind string, o generate.Object) {
		if kind == "Switch" {
			spec := o["spec"].(generate.Object)
			spec["portBreakouts"] = map[string]any{"E1/47": "4x25G"}
			spec["portSpeeds"] = map[string]any{"E1/1": "400G", "E1/2": "1G", "E1/3": "fast"}
			spec["roce"] = true
			delete(spec, "boot")
		}
	}
	for _, fabric := range generate.Names() {
		wirings := map[string]wiring{"": wiringOf(t, fabric), ", unusual": wiringOf(t, fabric, unusual)}
		for suffix, w := range wirings {
			t.Run(fabric+suffix, func(t *testing.T) {
				for _, d := range w.describe(7) {
					for _, p := range []progress{applied(), {created: noon, generation: 1, attemptGen: 1, attemptTime: noon, due: noon}} {
						schemas.Check(t, map[string]any{
							"apiVersion": d.home.apiVersion,
							"kind":       d.home.kind,
							"metadata":   map[string]any{"name": d.name},
							"spec":       d.spec,
							"status":     d.report(p, noon),
						})
					}
				}
			})
		}
	}
}

func TestReportFitsWiring(t *testing.T) {
	w := wiringOf(t, "gateway")
	tests := []struct {
		machine string
		path    string
		want    any
	}{
		{"leaf-01", "state interfaces M1 lldpNeighbors 0 sysName", "control-1"},
		{"leaf-01", "state interfaces E1/1 lldpNeighbors 0 sysName", "server-01"},
		{"leaf-01", "state interfaces E1/1 lldpNeighbors 0 portID", "enp2s1"},
		{"leaf-01", "state interfaces E1/4 lldpNeighbors 0 sysName", "spine-01"},
		{"leaf-01", "state interfaces E1/4 lldpNeighbors 0 portID", "E1/1"},
		{"leaf-01", "state interfaces E1/4 lldpNeighbors 0 sysDescr", "Hedgehog Fabric"},
		{"leaf-01", "state interfaces E1/4 lldpNeighbors 0 chassis", "0c:20:12:ff:03:00"},
		{"leaf-01", "state interfaces E1/4 mac", "0c:20:12:ff:00:04"},
		{"leaf-01", "state interfaces E1/4 speed", "100G"},
		{"leaf-01", "state interfaces E1/1 oper", "up"},
		{"leaf-03", "state interfaces E1/8 oper", "up"},
		{"leaf-03", "state interfaces E1/8 lldpNeighbors", nil},
		{"leaf-01", "state bgpNeighbors default 172.30.128.0 state", "established"},
		{"leaf-01", "state bgpNeighbors default 172.30.128.0 localAS", 65101.0},
		{"leaf-01", "state bgpNeighbors default 172.30.128.0 peerAS", 65100.0},
		{"leaf-01", "state bgpNeighbors default 172.30.128.0 remoteRouterID", "172.30.8.0"},
		{"spine-01", "state bgpNeighbors default 172.30.128.13 peerAS", 65534.0},
		{"spine-01", "state interfaces E1/7 lldpNeighbors 0 sysName", "gateway-1"},
		{"gateway-1", "state bgp vrfs default neighbors 172.30.128.12 sessionState", "established"},
		{"gateway-1", "state bgp vrfs default neighbors 172.30.128.12 remoteRouterID", "172.30.8.0"},
		{"gateway-1", "state frr lastAppliedGen", 3.0},
		{"leaf-01", "lastAppliedGen", 3.0},
		{"leaf-01", "lastHeartbeat", "2026-08-20T12:00:00Z"},
		{"leaf-01", "conditions 0 reason", "ApplySucceeded"},
	}
	for _, test := range tests {
		var got any = report(t, w, test.machine, noon)
		for _, key := range strings.Fields(test.path) {
			if members, isList := got.([]any); isList && key == "0" {
				got = members[0]
				continue
			}
			got = dig(got, key)
		}
		if got != test.want {
			t.Errorf("%s: %s is %v, want %v", test.machine, test.path, got, test.want)
		}
	}
}

func TestEveryCabledPortIsReported(t *testing.T) {
	w := wiringOf(t, "spine-leaf")
	cabled := map[string]int{"leaf-01": 15, "leaf-02": 16, "leaf-03": 11, "leaf-04": 12, "leaf-05": 11, "spine-01": 10, "spine-02": 10}
	sessions := map[string]int{"leaf-01": 4, "leaf-02": 4, "leaf-03": 4, "leaf-04": 4, "leaf-05": 4, "spine-01": 10, "spine-02": 10}
	for name, want := range cabled {
		state := report(t, w, name, noon)["state"]
		if got := len(dig(state, "interfaces").(map[string]any)); got != want+1 {
			t.Errorf("%s reports %d interfaces, want %d and M1", name, got, want)
		}
		if got := len(dig(state, "bgpNeighbors", "default").(map[string]any)); got != sessions[name] {
			t.Errorf("%s reports %d sessions, want %d", name, got, sessions[name])
		}
	}
}

// TestCounters follows one cable for an hour: counters rise as fast as the rates say, and both ends agree.
func TestCounters(t *testing.T) {
	w := wiringOf(t, "spine-leaf")
	leaf, spine := reports(t, w, "leaf-01"), reports(t, w, "spine-01")
	counters := func(status map[string]any, port string) map[string]any {
		return dig(status, "state", "interfaces", port, "counters").(map[string]any)
	}
	before := counters(leaf(noon), "E1/8")
	for now := noon.Add(15 * time.Second); now.Before(noon.Add(time.Hour)); now = now.Add(15 * time.Second) {
		after := counters(leaf(now), "E1/8")
		for _, name := range []string{"inb", "outb", "ine", "ind", "outd"} {
			if after[name].(float64) < before[name].(float64) {
				t.Fatalf("%s fell from %v to %v at %s", name, before[name], after[name], now)
			}
		}
		rate := (after["outb"].(float64) - before["outb"].(float64)) * 8 / 15
		was, is := before["outbps"].(float64), after["outbps"].(float64)
		if rate < min(was, is)*0.98 || rate > max(was, is)*1.02 || is > 100e9 {
			t.Fatalf("%s: grew by %.0f bit/s between rates of %.0f and %.0f", now, rate, was, is)
		}
		if received := counters(spine(now), "E1/1")["inbps"]; received != after["outbps"] {
			t.Fatalf("%s: leaf-01 sends %v, spine-01 receives %v", now, is, received)
		}
		before = after
	}
}

func TestTemperaturesWander(t *testing.T) {
	leaf := reports(t, wiringOf(t, "mesh"), "leaf-01")
	lowest, highest := 1000.0, -1000.0
	for now := noon; now.Before(noon.Add(6 * time.Hour)); now = now.Add(time.Minute) {
		temp := dig(leaf(now), "state", "transceivers", "E1/4", "temp").(float64)
		lowest, highest = min(lowest, temp), max(highest, temp)
	}
	if lowest < 30 || highest > 50 || highest-lowest < 1 {
		t.Errorf("the module stayed between %v and %v degrees", lowest, highest)
	}
}

func TestSpecHoldsCanaries(t *testing.T) {
	w := wiringOf(t, "mesh")
	for _, d := range w.describe(7) {
		spec, err := json.Marshal(d.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(spec), Canary); got < 6 {
			t.Errorf("the spec of %s holds %d made-up secrets", d.name, got)
		}
		if status := fmt.Sprint(d.report(applied(), noon)); strings.Contains(status, Canary) {
			t.Errorf("the status of %s holds a made-up secret", d.name)
		}
	}
}
