package httpd

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// readingTimeout and slack together stay below the ten seconds that a
	// Prometheus gives a scrape unless told otherwise: after that, nobody would
	// learn that the record could not be read.
	readingTimeout = 8 * time.Second
	// readingFresh is the time in which scrapes share one reading.
	readingFresh = time.Second
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hedgerow_"+name, help, labels, nil)
}

// What is known without the record.
var (
	lastTick     = desc("scheduler_last_tick_timestamp_seconds", "When this process last looked for due fabrics. Absent when it never did.")
	workersBusy  = desc("workers_busy", "Passes that this process is making, those included that wait for slow clusters beside the workers.")
	recordUp     = desc("record_up", "Whether the record could be read for this scrape: 1, or 0 when something of it is missing here.")
	recordErrors = desc("record_scrape_errors_total", "Scrapes for which the record could not be read.")
)

// A watcher reads the record when it is scraped.
type watcher struct {
	metrics *Metrics
	fleet   Fleet
	queue   Queue
	record  *shared[gathered]
	errors  atomic.Uint64
}

// gathered is what one reading of the record gave.
type gathered struct {
	series []prometheus.Metric
	failed bool // some of it is missing
}

func newWatcher(m *Metrics, fleet Fleet, q Queue) *watcher {
	w := &watcher{metrics: m, fleet: fleet, queue: q}
	w.record = &shared[gathered]{read: w.read, limit: readingTimeout, fresh: readingFresh, now: m.now}
	return w
}

// Describe implements prometheus.Collector.
func (w *watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastTick, workersBusy, recordUp, recordErrors} {
		ch <- d
	}
	for _, d := range recorded {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	got, err := w.record.get(context.Background())
	up := 1.0
	if err != nil || got.failed {
		up = 0
		w.errors.Add(1)
	}
	own := series{}
	own.gauge(recordUp, up)
	own.add(recordErrors, prometheus.CounterValue, float64(w.errors.Load()))
	own.gauge(workersBusy, float64(w.queue.Working()))
	own.moment(lastTick, w.queue.TickedAt())
	for _, m := range append(own, got.series...) {
		ch <- m
	}
}

func (w *watcher) read(ctx context.Context) gathered {
	var all series
	began := w.metrics.now()
	waiting, oldest, queueErr := w.queue.Depth(ctx)
	if queueErr == nil {
		all.gauge(queueWaiting, float64(waiting))
		all.gauge(queueOldest, oldest.Seconds())
	}
	names := w.metrics.names()
	fleet, processes, err := w.fleet.Fleet(ctx)
	now := w.metrics.now()
	if err == nil {
		w.metrics.forget(names, fleet)
		all.service(processes)
		for _, s := range fleet {
			all.fabric(s, now)
		}
	}
	all.gauge(recordSeconds, now.Sub(began).Seconds())
	return gathered{all, err != nil || queueErr != nil}
}

// series are the metrics of one scrape.
type series []prometheus.Metric

func (s *series) add(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
	*s = append(*s, prometheus.MustNewConstMetric(d, t, v, labels...))
}

func (s *series) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.add(d, prometheus.GaugeValue, v, labels...)
}

// flag adds 1 or 0.
func (s *series) flag(d *prometheus.Desc, yes bool, labels ...string) {
	v := 0.0
	if yes {
		v = 1
	}
	s.gauge(d, v, labels...)
}

// moment adds a time, unless there is none.
func (s *series) moment(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(d, float64(t.UnixMicro())/1e6, labels...)
	}
}
