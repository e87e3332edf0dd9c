package httpd

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hedgerow"
)

// A FabricState is what the record shows of one fabric.
type FabricState struct {
	Fabric hedgerow.Fabric
	Facts  hedgerow.Facts
	Kinds  []hedgerow.KindEvidence
}

// Fleet is the record, as the metrics need it. It must heed its context.
type Fleet interface {
	// Fleet returns every fabric, and every process that reports itself.
	Fleet(ctx context.Context) ([]FabricState, []hedgerow.Process, error)
}

// Queue is the queue of passes, and this process's part in it.
type Queue interface {
	// Depth says how many jobs wait for a worker of any process, and for how
	// long the first of them has. It must heed its context.
	Depth(ctx context.Context) (waiting int, oldest time.Duration, err error)
	Working() int        // passes that this process is making, also beside its workers
	TickedAt() time.Time // zero when this process has not kept the schedule
}

// Metrics are what this process tells a Prometheus. doc/metrics.md lists them.
// Labels hold names, and words of closed sets; never a message.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	ticks  prometheus.Counter
	waits  prometheus.Histogram
	runs   *prometheus.CounterVec
	passes *prometheus.HistogramVec

	mu    sync.Mutex
	known map[string]bool // the names of fabrics that runs and passes have series of
}

// NewMetrics returns the metrics of a process of this release. They tell of
// the process alone until Watch.
func NewMetrics(release string, now func() time.Time) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		now:      now,
		known:    map[string]bool{},
		ticks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hedgerow_scheduler_ticks_total",
			Help: "Times that this process looked for due fabrics.",
		}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "hedgerow_queue_wait_seconds",
			Help:    "Time from when a pass was queued to when this process began it.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hedgerow_runs_total",
			Help: "Passes that ended in this process.",
		}, []string{"fabric", "outcome", "trigger"}),
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hedgerow_run_duration_seconds",
			Help:    "Time that passes took that ended in this process.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600},
		}, []string{"fabric", "outcome"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "hedgerow_build_info",
		Help:        "1. The labels say which release this is, and which Go built it.",
		ConstLabels: prometheus.Labels{"release": release, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build, m.ticks, m.waits, m.runs, m.passes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers a scrape. One metric that cannot be had spoils no other.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      m.registry,
	})
}

// Watch makes every scrape tell what fleet and q show at that moment. It is to
// be called once.
func (m *Metrics) Watch(fleet Fleet, q Queue) {
	m.registry.MustRegister(newWatcher(m, fleet, q))
}

// Ticked counts a look at what is due.
func (m *Metrics) Ticked(time.Time) { m.ticks.Inc() }

// Waited notes how long a pass that begins now has been queued.
func (m *Metrics) Waited(d time.Duration) { m.waits.Observe(max(d, 0).Seconds()) }

// Ended notes a pass that has ended.
func (m *Metrics) Ended(f hedgerow.Fabric, r hedgerow.Run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[f.Name] = true
	m.runs.WithLabelValues(f.Name, string(r.Outcome), r.Trigger).Inc()
	if !r.FinishedAt.IsZero() {
		m.passes.WithLabelValues(f.Name, string(r.Outcome)).Observe(max(r.FinishedAt.Sub(r.StartedAt), 0).Seconds())
	}
}

// names are those of fabrics of which a pass has ended.
func (m *Metrics) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for name := range m.known {
		all = append(all, name)
	}
	return all
}

// forget ends the series of those of names that no fabric bears. The names
// must have been taken before the fleet was read, for a fabric may be new.
func (m *Metrics) forget(names []string, fleet []FabricState) {
	there := map[string]bool{}
	for _, s := range fleet {
		there[s.Fabric.Name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if there[name] {
			continue
		}
		delete(m.known, name)
		m.runs.DeletePartialMatch(prometheus.Labels{"fabric": name})
		m.passes.DeletePartialMatch(prometheus.Labels{"fabric": name})
	}
}
