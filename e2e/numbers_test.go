package e2e

import (
	"database/sql"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// numbers skips a measurement unless `make bench` asks for it: it needs the
// machine to itself, and asserts no durations.
func numbers(t *testing.T) {
	t.Helper()
	if os.Getenv("HEDGEROW_NUMBERS") == "" {
		t.Skip("a measurement: make bench-serve")
	}
}

// TestNumbersLatency measures the time from an edit in the cluster to the row
// in the record, as another reader of the record sees it.
func TestNumbersLatency(t *testing.T) {
	numbers(t)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			fleet := lab.NewFleet(t, 1, 1000)
			h, db := install(t, engine)
			fleet.Add(t, h, "--interval", "24h")
			p := lab.Start(t, h, "serve")
			following(t, p, db, 1)
			for _, rate := range []float64{1, 100, 1000} {
				seen := watchRows(t, db)
				cpu, begun := p.CPU(t), time.Now()
				churn := fleet.Churn(t.Context(), rate, nil, lab.Updates)
				wait(t, 30*time.Second)
				edits, err := churn.Stop()
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(begun)
				rows := seen(newest(t, edits))
				var asked, answered []time.Duration
				for _, e := range edits {
					at, ok := rows.at(e.ResourceVersion)
					if !ok {
						t.Fatalf("edit %s never came into the record", e.ResourceVersion)
					}
					asked, answered = append(asked, at.Sub(e.Asked)), append(answered, max(0, at.Sub(e.Answered)))
				}
				t.Logf("| %s | %.0f | %.0f | %s | %s | %s | %s | %.0f %% |", engine, rate, float64(len(edits))/took.Seconds(),
					quantile(answered, .5), quantile(answered, .99), quantile(asked, .5), quantile(asked, .99), 100*(p.CPU(t)-cpu).Seconds()/took.Seconds())
			}
		})
	}
}

// newest is the highest revision of edits, which were made side by side.
func newest(t *testing.T, edits []lab.Edit) uint64 {
	t.Helper()
	var most uint64
	for _, e := range edits {
		r, err := strconv.ParseUint(e.ResourceVersion, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, r)
	}
	return most
}

// following waits until n fabrics are followed.
func following(t *testing.T, p *lab.Process, db record, n int) {
	t.Helper()
	p.Await(t, 10*time.Minute, "following", func() bool {
		var m int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM followers WHERE state = 'following'`).Scan(&m); err != nil {
			t.Fatal(err)
		}
		return m == n
	})
}

// wait lets a measurement run.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.NewTimer(d).C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)].Round(100 * time.Microsecond)
}

// arrivals are the moments at which revisions were first seen in the record.
type arrivals []arrival

type arrival struct {
	revision uint64
	at       time.Time
}

// at is when an edit with that revision was in the record: revisions come in
// order, so it was there when it or a later one was.
func (a arrivals) at(revision string) (time.Time, bool) {
	r, err := strconv.ParseUint(revision, 10, 64)
	i, _ := slices.BinarySearchFunc(a, r, func(x arrival, r uint64) int {
		if x.revision < r {
			return -1
		}
		return 1
	})
	if err != nil || i == len(a) {
		return time.Time{}, false
	}
	return a[i].at, true
}

// watchRows reads the newest revision in the record all the time, until the
// function that it returns is called with the last one to wait for.
func watchRows(t *testing.T, db record) func(last uint64) arrivals {
	t.Helper()
	stop, done := make(chan uint64, 1), make(chan arrivals, 1)
	go func() {
		var all arrivals
		var until uint64
		var deadline <-chan time.Time
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			var newest sql.NullString
			err := db.QueryRowContext(t.Context(), `SELECT max(revision) FROM kinds WHERE kind = 'Server'`).Scan(&newest)
			if r, perr := strconv.ParseUint(newest.String, 10, 64); err == nil && perr == nil && (len(all) == 0 || r > all[len(all)-1].revision) {
				all = append(all, arrival{r, time.Now()})
			}
			if until > 0 && len(all) > 0 && all[len(all)-1].revision >= until {
				done <- all
				return
			}
			select {
			case until = <-stop:
				deadline = time.After(time.Minute)
			case <-deadline:
				done <- all
				return
			case <-tick.C:
			}
		}
	}()
	return func(last uint64) arrivals {
		stop <- last
		return <-done
	}
}

// TestNumbersPasses measures what scheduled passes cost: 200 fabrics of 48
// objects, each read every minute.
func TestNumbersPasses(t *testing.T) {
	numbers(t)
	fleet := lab.NewFleet(t, 200, 48)
	for _, mode := range []string{"poll", "watch"} {
		for _, engine := range []string{"sqlite", "postgres"} {
			t.Run(mode+"/"+engine, func(t *testing.T) {
				h, db := install(t, engine)
				fleet.Add(t, h, "--interval", "1m", "--mode", mode)
				p := lab.Start(t, h, "serve")
				defer p.Stop(t)
				if mode == "watch" {
					following(t, p, db, 200)
				}
				p.Await(t, 5*time.Minute, "done with the first passes", func() bool { return count(t, db, `outcome = 'complete'`) >= 200 })
				before, cpu, begun := count(t, db, `outcome = 'complete'`), p.CPU(t), time.Now()
				wait(t, 2*time.Minute)
				took := time.Since(begun)
				passes := count(t, db, `outcome = 'complete'`) - before
				t.Logf("| 200 x 48, every minute | %s | %s | %.0f passes/min | %.1f %% of a core | %d MiB now, %d MiB peak |", mode, engine,
					float64(passes)/took.Minutes(), 100*(p.CPU(t)-cpu).Seconds()/took.Seconds(), p.Memory(t, "VmRSS")>>20, p.Memory(t, "VmHWM")>>20)
			})
		}
	}
}

func count(t *testing.T, db record, where string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM runs WHERE trigger <> 'follow' AND `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNumbersIdle measures what it costs to follow 100 fabrics of 1,000 objects
// in which nothing happens, with a scrape of the metrics every 15 seconds.
func TestNumbersIdle(t *testing.T) {
	numbers(t)
	fleet := lab.NewFleet(t, 100, 1000)
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, interval := range []string{"24h", "5m"} {
			t.Run(engine+"/"+interval, func(t *testing.T) {
				h, db := install(t, engine)
				fleet.Add(t, h, "--interval", interval)
				p := lab.Start(t, h, "serve")
				defer p.Stop(t)
				following(t, p, db, 100)
				wait(t, time.Minute) // the first passes' memory is given back
				cpu, begun := p.CPU(t), time.Now()
				for range 8 { // as a Prometheus does
					if _, err := p.Measure(t.Context()); err != nil {
						t.Error(err)
					}
					wait(t, 15*time.Second)
				}
				took := time.Since(begun)
				t.Logf("| 100 x 1,000 followed, idle, passes every %s | %s | %.1f %% of a core | %d MiB now, %d MiB peak | %d connections |", interval, engine,
					100*(p.CPU(t)-cpu).Seconds()/took.Seconds(), p.Memory(t, "VmRSS")>>20, p.Memory(t, "VmHWM")>>20, p.Sockets(t))
			})
		}
	}
}
