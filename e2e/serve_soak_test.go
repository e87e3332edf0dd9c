package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// sample is what serve held at one moment.
type sample struct {
	at                       time.Duration
	goroutines, files        float64
	resident, heap, database float64 // bytes
}

// TestServeSoak runs serve for as long as HEDGEROW_SOAK says (make soak), with
// twenty fabrics that change twenty times a second, and one more with switch
// agents: nothing that it holds grows, and in the end the record is what the
// clusters are. The fabric with agents is left alone, and shows whether the
// schedule is kept by the clock.
func TestServeSoak(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv("HEDGEROW_SOAK"))
	if err != nil {
		t.Skip("HEDGEROW_SOAK does not say for how long")
	}
	f := lab.NewFleet(t, 20, 48)
	agents := lab.Vlab(t, "--fabric", "spine-leaf", "--agents")
	h, r := install(t, "sqlite")
	f.Add(t, h, "--interval", "30s")
	h.OK(t, "fabric", "add", "agents", "--kubeconfig", agents.Kubeconfig, "--interval", "30s")
	s := lab.Start(t, h, "serve")
	b := watchBoard(t, h)
	b.await(t, "agents", byPass, want{badge: "In sync", facets: map[string]string{"follow": "following"}})
	everFollowed(t, b, f)
	b.stop() // it takes processor time from what is measured

	begun := time.Now()
	churn := f.Churn(t.Context(), 20, nil, lab.Varied)
	var samples []sample
	end := time.NewTimer(soak)
	defer end.Stop()
	tick := time.NewTicker(max(soak/180, time.Second))
	defer tick.Stop()
	cpu := s.CPU(t)
	for running := true; running; {
		select {
		case <-end.C:
			running = false
		case <-s.Done():
			t.Fatalf("serve ended:\n%s", s.Stderr())
		case <-tick.C:
			m, err := s.Measure(t.Context())
			if err != nil {
				t.Error(err)
				continue
			}
			x := sample{
				at: time.Since(begun), goroutines: m["go_goroutines"], files: float64(s.Files(t)),
				resident: float64(s.Memory(t, "VmRSS")), heap: m["go_memstats_heap_inuse_bytes"],
			}
			if st, err := os.Stat(h.Dir + "/hedgerow.db"); err == nil {
				x.database = float64(st.Size())
			}
			samples = append(samples, x)
		}
	}
	used := s.CPU(t) - cpu
	edits, err := churn.Stop()
	if err != nil {
		t.Error(err)
	}
	caught := r.catchesUp(t, f, time.Now(), time.Minute)
	c := r.whole(t, "after the soak", false)
	if v, told, over := c.history(f, live(edits)); len(v) > 0 || over > 0 {
		t.Errorf("%d states told, %d passed over, though serve never was away:\n%s", told, over, v)
	}
	t.Logf("%s: %d edits, caught up %s after the last; serve took %.1f%% of a processor", soak, len(edits), caught.Round(time.Millisecond), 100*used.Seconds()/time.Since(begun).Seconds())
	if soak >= 90*time.Second {
		flat(t, samples)
	}
	r.kept(t, "agents", 30*time.Second, begun, begun.Add(soak))
	quiet(t, s)
	if code := s.Stop(t); code != 0 {
		t.Errorf("serve exits with %d", code)
	}
}

// flat wants the last third of samples not to be above the one before, by more
// than a tenth and what noise there is.
func flat(t *testing.T, all []sample) {
	t.Helper()
	third := len(all) / 3
	middle, last := all[third:2*third], all[2*third:]
	for _, what := range []struct {
		name  string
		unit  float64
		noise float64
		of    func(sample) float64
	}{
		{"goroutines", 1, 20, func(s sample) float64 { return s.goroutines }},
		{"open files", 1, 5, func(s sample) float64 { return s.files }},
		{"MiB resident", 1 << 20, 8, func(s sample) float64 { return s.resident }},
		{"MiB of heap", 1 << 20, 8, func(s sample) float64 { return s.heap }},
		{"MiB of database", 1 << 20, -1, func(s sample) float64 { return s.database }},
	} {
		median := func(some []sample) float64 {
			var v []float64
			for _, s := range some {
				v = append(v, what.of(s)/what.unit)
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		first, before, after := median(all[:third]), median(middle), median(last)
		t.Logf("%s: %.1f in the first third, %.1f in the middle, %.1f in the last", what.name, first, before, after)
		if what.noise >= 0 && after > before*1.1+what.noise { // the database has to grow: it is the history
			t.Errorf("%s grow", what.name)
		}
	}
}

// kept wants a fabric to have been read by the schedule on time: so many
// passes, give or take one, an interval apart, and no drift from the first to
// the last. The very first pass of a fabric is made at once, and the others
// when the grid of the fabric says, so the first does not count.
func (r record) kept(t *testing.T, fabric string, interval time.Duration, from, to time.Time) {
	t.Helper()
	rows, err := r.QueryContext(t.Context(), `SELECT r.started_at FROM runs r JOIN fabrics f ON f.id = r.fabric_id
		WHERE f.name = $1 AND r.trigger = 'schedule' AND r.started_at >= $2 AND r.started_at < $3
		AND r.id > (SELECT min(id) FROM runs WHERE fabric_id = f.id) ORDER BY r.id`, fabric, from.UnixMicro(), to.UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var at []time.Time
	for rows.Next() {
		var us int64
		if err := rows.Scan(&us); err != nil {
			t.Fatal(err)
		}
		at = append(at, time.UnixMicro(us))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	const tolerance = 2 * time.Second
	if due := int(to.Sub(from) / interval); len(at) < due-1 || len(at) > due+1 || len(at) < 2 {
		t.Errorf("%d passes of %s in %s, want %d, give or take one", len(at), fabric, to.Sub(from), due)
		return
	}
	var gaps []string
	least, most := time.Hour, time.Duration(0)
	for i, a := range at[1:] {
		gap := a.Sub(at[i])
		gaps = append(gaps, fmt.Sprintf("%.3f", gap.Seconds()))
		least, most = min(least, gap), max(most, gap)
		if (gap - interval).Abs() > tolerance {
			t.Errorf("%s between pass %d and the next, want %s", gap, i+1, interval)
		}
	}
	drift := at[len(at)-1].Sub(at[0]) - time.Duration(len(at)-1)*interval
	t.Logf("%d passes of %s by the schedule in %s, %.3f to %.3f s apart, %.3f s off from the first to the last: %s", len(at), fabric, to.Sub(from).Round(time.Second),
		least.Seconds(), most.Seconds(), drift.Seconds(), strings.Join(gaps, " "))
	if drift.Abs() > tolerance {
		t.Errorf("the schedule drifted by %s", drift)
	}
}

// TestServeClock leaves one fabric to the schedule for ten minutes.
func TestServeClock(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten minutes")
	}
	t.Parallel()
	const span = 10 * time.Minute
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, r := install(t, "sqlite")
	h.OK(t, "fabric", "add", "f", "--kubeconfig", c.Kubeconfig, "--interval", "30s")
	s := lab.Start(t, h, "serve")
	s.WaitReady(t, soon)
	from := time.Now()
	pause(t, span)
	r.kept(t, "f", 30*time.Second, from, from.Add(span))
	quiet(t, s)
}
