package agents

import (
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	p := progress{created: noon, generation: 1}
	steps := []struct {
		after      time.Duration
		generation int64
		attempt    int64
		applied    int64
		ready      bool
		since      time.Duration
	}{
		{0, 1, 1, 0, false, 0},
		{4 * time.Second, 1, 1, 0, false, 0},
		{6 * time.Second, 1, 1, 1, true, 5 * time.Second},
		{21 * time.Second, 1, 1, 1, true, 5 * time.Second},
		{30 * time.Second, 2, 2, 1, false, 30 * time.Second},
		{32 * time.Second, 3, 3, 1, false, 30 * time.Second},
		{36 * time.Second, 3, 3, 1, false, 30 * time.Second},
		{37 * time.Second, 3, 3, 3, true, 37 * time.Second},
		{4 * time.Minute, 3, 3, 3, true, 37 * time.Second},
	}
	for _, step := range steps {
		p.generation = step.generation
		p.advance(noon.Add(step.after), 5*time.Second)
		if p.attemptGen != step.attempt || p.appliedGen != step.applied || p.applied() != step.ready ||
			!p.transition.Equal(noon.Add(step.since)) {
			t.Errorf("after %s: %+v", step.after, p)
		}
	}
	if !p.appliedTime.Equal(noon.Add(4 * time.Minute)) {
		t.Errorf("what is applied was not enforced again: %s", p.appliedTime)
	}
}

func TestResume(t *testing.T) {
	u := unit{name: "leaf-01"}
	var status map[string]any
	reread(t, u.status(applied(), noon), &status)
	got := resume(status, applied().created)
	got.generation = 3
	if want := applied(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := resume(nil, noon); got != (progress{created: noon}) {
		t.Errorf("a new agent resumes at %+v", got)
	}
}

func TestPortOrder(t *testing.T) {
	for _, test := range []struct{ first, second string }{
		{"E1/2", "E1/10"}, {"E1/9", "E2/1"}, {"E1/55", "E1/55/2"}, {"E1/55/2", "E1/55/10"},
	} {
		if compareNumbers(test.first, test.second) >= 0 || compareNumbers(test.second, test.first) <= 0 {
			t.Errorf("%s does not come before %s", test.first, test.second)
		}
	}
}
