package httpd_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"hedgerow"
	"hedgerow/internal/httpd"
)

var update = flag.Bool("update", false, "write the golden file anew")

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func at(ago time.Duration) time.Time { return now.Add(-ago) }

func clock() time.Time { return now }

// record is a fleet and a queue that answer as they are told to.
type record struct {
	fabrics   []httpd.FabricState
	processes []hedgerow.Process
	fails     error // what the fleet answers
	queue     error // what the queue answers
	before    func(ctx context.Context)
	reads     atomic.Int32
}

func (r *record) Fleet(ctx context.Context) ([]httpd.FabricState, []hedgerow.Process, error) {
	r.reads.Add(1)
	if r.before != nil {
		r.before(ctx)
	}
	return r.fabrics, r.processes, errors.Join(r.fails, ctx.Err())
}

func (r *record) Depth(context.Context) (int, time.Duration, error) {
	return 3, 1500 * time.Millisecond, r.queue
}
func (r *record) Working() int        { return 2 }
func (r *record) TickedAt() time.Time { return at(time.Second) }

func metrics(t *testing.T) *httpd.Metrics {
	t.Helper()
	return httpd.NewMetrics("1.2.3", clock)
}

func scrape(t testing.TB, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours leaves out what the libraries tell of the process.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "hedgerow_") {
			b.WriteString(line)
		}
	}
	return regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(b.String(), `goversion="go"`)
}

// value finds one sample.
func value(text, name string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return "absent"
}

// fleet is small, and has about everything in it.
func fleet() *record {
	lastRun := &hedgerow.Run{ID: 7, Outcome: hedgerow.RunComplete, StartedAt: at(95 * time.Second), FinishedAt: at(90 * time.Second)}
	service := hedgerow.ServiceFacts{Alive: []string{"a", "b"}, TickedAt: at(time.Second)}
	return &record{
		processes: []hedgerow.Process{
			{ID: "a", BeatAt: at(2 * time.Second), Problems: []hedgerow.Problem{{Reason: "DiskFull", Message: "no space on /secret/place"}, {Reason: "ClockSkew"}}},
			{ID: "b", BeatAt: at(3 * time.Second), Problems: []hedgerow.Problem{{Reason: "DiskFull"}}},
			{ID: "dead", BeatAt: at(time.Hour), Gone: true, Problems: []hedgerow.Problem{{Reason: "TickMissed"}}},
		},
		fabrics: []httpd.FabricState{
			{
				Fabric: hedgerow.Fabric{ID: 1, Name: "fra1"},
				Facts: hedgerow.Facts{
					Configured: true, Repository: true, OpenChanges: 4, Interval: 5 * time.Minute, Last: lastRun, LastComplete: lastRun.FinishedAt, Objects: 12,
					Agents:   hedgerow.AgentFacts{Total: 9, Pending: 2, Silent: 1},
					Schedule: hedgerow.Schedule{Next: at(-210500 * time.Millisecond)},
					Follow:   hedgerow.FollowFacts{Wanted: true, State: hedgerow.Following, Process: "a", Since: at(time.Hour)},
					Service:  service,
				},
				Kinds: []hedgerow.KindEvidence{
					{Group: "vpc.githedgehog.com", Kind: "VPC", Verdict: hedgerow.Complete, CompleteAt: at(90 * time.Second), Present: 5},
					{Group: "wiring.githedgehog.com", Kind: "Switch", Verdict: hedgerow.Forbidden, CompleteAt: at(time.Hour), Present: 7},
					{Group: "wiring.githedgehog.com", Kind: "Server", Verdict: hedgerow.Failed},
					{Group: "old.githedgehog.com", Kind: "Gone", Verdict: hedgerow.Absent, CompleteAt: at(1000 * time.Hour)},
				},
			},
			{
				Fabric: hedgerow.Fabric{ID: 2, Name: "ord2"},
				Facts: hedgerow.Facts{
					Configured: true, Interval: hedgerow.Manual,
					Last:     &hedgerow.Run{ID: 8, Outcome: hedgerow.RunFailed, Code: hedgerow.CodeConnect, Message: "dial 10.1.2.3: refused", FinishedAt: at(time.Minute)},
					Schedule: hedgerow.Schedule{Failures: 5, OpenSince: at(time.Minute)},
					Follow:   hedgerow.FollowFacts{Wanted: true, State: hedgerow.Broken, Process: "b", Message: "dial 10.1.2.3: refused"},
					Service:  service,
				},
			},
			{Fabric: hedgerow.Fabric{ID: 3, Name: "new3"}},
		},
	}
}

func TestExposition(t *testing.T) {
	m := metrics(t)
	r := fleet()
	m.Watch(r, r)
	m.Ticked(now)
	m.Waited(300 * time.Millisecond)
	m.Waited(-time.Second) // a clock that was set back
	m.Ended(r.fabrics[0].Fabric, hedgerow.Run{Trigger: "schedule", Outcome: hedgerow.RunComplete, StartedAt: at(3 * time.Second), FinishedAt: now})
	m.Ended(r.fabrics[0].Fabric, hedgerow.Run{Trigger: "manual", Outcome: hedgerow.RunComplete, StartedAt: now, FinishedAt: at(time.Second)})
	m.Ended(r.fabrics[1].Fabric, hedgerow.Run{Trigger: "resume", Outcome: hedgerow.Interrupted})
	text := scrape(t, m.Handler())

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("lint: %s: %s", p.Metric, p.Text)
	}
	for _, word := range []string{"secret", "10.1.2.3", "refused"} {
		if strings.Contains(text, word) {
			t.Errorf("a message shows: %s", word)
		}
	}
	for _, word := range []string{"go_goroutines", "process_resident_memory_bytes", "promhttp_metric_handler_errors_total"} {
		if !strings.Contains(text, word) {
			t.Errorf("%s is missing", word)
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(ours(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), ours(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The document lists every metric, and no other.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../doc/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	inDoc, exposed := map[string]bool{}, map[string]bool{}
	for _, f := range regexp.MustCompile("(?m)^\\| `(hedgerow_[a-z_]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		inDoc[f[1]] = true
	}
	for _, f := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(golden), -1) {
		exposed[f[1]] = true
	}
	if diff := cmp.Diff(exposed, inDoc); diff != "" {
		t.Errorf("exposed and documented (-exposed +documented):\n%s", diff)
	}
	for _, f := range regexp.MustCompile(`hedgerow_[a-z_]+`).FindAllString(string(doc), -1) {
		name := f
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if !exposed[name] {
			t.Errorf("the document speaks of %s, which is not exposed", f)
		}
	}
}

func TestRecordNotReadable(t *testing.T) {
	for _, tc := range []struct {
		name                 string
		fleet, queue         error
		up, waiting, fabrics string
		panics               bool
	}{
		{name: "all is well", up: "1", waiting: "3", fabrics: "3"},
		{name: "fleet", fleet: errors.New("no disk"), up: "0", waiting: "3", fabrics: "0"},
		{name: "queue", queue: errors.New("no table"), up: "0", waiting: "absent", fabrics: "3"},
		{name: "bug", panics: true, up: "0", waiting: "absent", fabrics: "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, r := metrics(t), fleet()
			r.fails, r.queue = tc.fleet, tc.queue
			if tc.panics {
				r.before = func(context.Context) { panic("a bug") }
			}
			m.Watch(r, r)
			text := scrape(t, m.Handler())
			failed := "1"
			if tc.up == "1" {
				failed = "0"
			}
			for name, want := range map[string]string{
				"hedgerow_record_up":                             tc.up,
				"hedgerow_record_scrape_errors_total":            failed,
				"hedgerow_queue_waiting":                         tc.waiting,
				"hedgerow_workers_busy":                          "2",
				"hedgerow_scheduler_last_tick_timestamp_seconds": "1.773500965e+09",
			} {
				if got := value(text, name); got != want {
					t.Errorf("%s is %s, not %s", name, got, want)
				}
			}
			if got := strings.Count(text, "\nhedgerow_fabric_failures{"); strconv.Itoa(got) != tc.fabrics {
				t.Errorf("%d fabrics, not %s", got, tc.fabrics)
			}
		})
	}
}

// A record that does not answer costs a scrape less than the ten seconds that
// a Prometheus waits, and one reading at a time.
func TestRecordHangs(t *testing.T) {
	for name, heeds := range map[string]bool{"in the end": true, "for good": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, r := httpd.NewMetrics("1", time.Now), fleet()
				release := make(chan bool)
				r.before = func(ctx context.Context) {
					if heeds {
						<-ctx.Done()
					} else {
						<-release
					}
				}
				m.Watch(r, r)
				began := time.Now()
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if got := value(scrape(t, m.Handler()), "hedgerow_record_up"); got != "0" {
							t.Errorf("up %s", got)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); took >= 10*time.Second {
					t.Errorf("nobody waits %s", took)
				}
				if n := r.reads.Load(); n != 1 {
					t.Errorf("%d readings", n)
				}
				close(release)
			})
		})
	}
}

// Scrapes share a reading for a second, also when the clock is set back.
func TestShared(t *testing.T) {
	moment := now
	m := httpd.NewMetrics("1", func() time.Time { return moment })
	r := fleet()
	m.Watch(r, r)
	for _, tc := range []struct {
		moment time.Time
		reads  int32
	}{
		{now, 1},
		{now, 1},
		{now.Add(999 * time.Millisecond), 1},
		{now.Add(time.Second), 2},
		{now.Add(-time.Hour), 3},
	} {
		moment = tc.moment
		scrape(t, m.Handler())
		if n := r.reads.Load(); n != tc.reads {
			t.Errorf("%d readings at %s, not %d", n, tc.moment, tc.reads)
		}
	}
}

// The series of a fabric go with it, but not those of one that is newer than
// the reading.
func TestRemovedFabric(t *testing.T) {
	moment := now
	m := httpd.NewMetrics("1", func() time.Time { return moment })
	r := fleet()
	m.Watch(r, r)
	run := hedgerow.Run{Outcome: hedgerow.RunComplete, Trigger: "manual", StartedAt: at(time.Second), FinishedAt: now}
	for _, f := range r.fabrics {
		m.Ended(f.Fabric, run)
	}
	count := func() (counts []int) {
		t.Helper()
		text := scrape(t, m.Handler())
		for _, name := range []string{"fra1", "ord2", "brandnew"} {
			n := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, `hedgerow_runs_total{fabric="`+name) || strings.HasPrefix(line, `hedgerow_run_duration_seconds_count{fabric="`+name) {
					n++
				}
			}
			counts = append(counts, n)
		}
		return counts
	}
	if diff := cmp.Diff([]int{2, 2, 0}, count()); diff != "" {
		t.Errorf("all there (-want +got):\n%s", diff)
	}
	r.fabrics = r.fabrics[:1]
	r.before = func(context.Context) { m.Ended(hedgerow.Fabric{Name: "brandnew"}, run) }
	moment = moment.Add(time.Minute)
	count() // the counters may be gathered before the reading
	if diff := cmp.Diff([]int{2, 0, 2}, count()); diff != "" {
		t.Errorf("one gone, one new (-want +got):\n%s", diff)
	}
	r.fails = errors.New("no disk")
	moment = moment.Add(time.Minute)
	count()
	if diff := cmp.Diff([]int{2, 0, 2}, count()); diff != "" {
		t.Errorf("a reading that failed proves nothing gone (-want +got):\n%s", diff)
	}
}

// A cluster cannot break or flood the metrics with what it calls its kinds.
func TestHostileKinds(t *testing.T) {
	m, r := metrics(t), fleet()
	r.fabrics = r.fabrics[:1]
	r.fabrics[0].Kinds = []hedgerow.KindEvidence{
		{Group: "\xff", Kind: "a\"}\nhedgerow_record_up 7\n", Present: 1},
		{Group: "\xfe", Kind: "a\"}\nhedgerow_record_up 7\n", Present: 1}, // the same label
	}
	for i := range 1000 {
		r.fabrics[0].Kinds = append(r.fabrics[0].Kinds, hedgerow.KindEvidence{Group: "g", Kind: "K" + strconv.Itoa(i), Present: 1, Verdict: hedgerow.Complete})
	}
	m.Watch(r, r)
	text := scrape(t, m.Handler())
	if got := value(text, "hedgerow_record_up"); got != "1" {
		t.Error("up", got)
	}
	if got := value(text, `hedgerow_fabric_objects{fabric="fra1",group="",kind="others"}`); got != "901" {
		t.Errorf("%s others, not 901", got)
	}
	if got := value(text, `hedgerow_fabric_kinds{fabric="fra1",verdict="complete"}`); got != "1000" {
		t.Errorf("%s complete, not 1000", got)
	}
	if n := strings.Count(text, "\nhedgerow_fabric_objects{"); n != 101 {
		t.Errorf("%d series, not 101", n)
	}
}
