package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow/vlab/generate"
)

// shelf is a client that keeps objects under their paths, with just the bookkeeping that the agents go by.
//
// The script of a test holds the lock and lends it to the agents while time passes.
type shelf struct {
	lock    sync.Mutex
	objects map[string]map[string]any
	writes  map[string][]time.Time
	version int
	broken  error
}

func newShelf(t *testing.T, fabric string) *shelf {
	t.Helper()
	objects, err := generate.Fabric(fabric)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{objects: map[string]map[string]any{}, writes: map[string][]time.Time{}}
	homes := map[string]string{"Switch": switchesPath, "Connection": connectionsPath, "Gateway": gatewaysPath}
	for _, o := range objects {
		if home := homes[o["kind"].(string)]; home != "" {
			s.objects[home+"/"+text(o, "metadata", "name")] = o
		}
	}
	return s
}

func (s *shelf) Do(_ context.Context, method, where string, body []byte) (int, []byte, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.broken != nil {
		return 0, nil, s.broken
	}
	var sent map[string]any
	if body != nil {
		if err := json.Unmarshal(body, &sent); err != nil {
			return 400, nil, err
		}
	}
	target := strings.TrimSuffix(where, "/status")
	object, found := s.objects[target]
	switch {
	case method == "GET" && strings.Count(where, "/") == 6:
		var items []any
		for name, o := range s.objects {
			if path.Dir(name) == where {
				items = append(items, o)
			}
		}
		return answer(200, map[string]any{"items": items})
	case method == "POST":
		target += "/" + text(sent, "metadata", "name")
		object = map[string]any{"metadata": map[string]any{"generation": 0, "creationTimestamp": stamp(time.Now())}}
		s.objects[target] = object
	case !found:
		return answer(404, map[string]any{"message": "not found"})
	case method == "PUT" && text(sent, "metadata", "resourceVersion") != text(object, "metadata", "resourceVersion"):
		return answer(409, map[string]any{"message": "the object has been modified"})
	}
	if method != "GET" {
		s.store(target, object, sent, strings.HasSuffix(where, "/status"))
	}
	return answer(200, object)
}

func (s *shelf) store(target string, object, sent map[string]any, status bool) {
	s.version++
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = fmt.Sprint(s.version)
	if status {
		object["status"] = sent["status"]
		s.writes[target] = append(s.writes[target], time.Now())
		return
	}
	if !reflect.DeepEqual(object["spec"], sent["spec"]) {
		metadata["generation"] = metadata["generation"].(int) + 1
	}
	object["spec"] = sent["spec"]
}

func answer(status int, o map[string]any) (int, []byte, error) {
	data, err := json.Marshal(o)
	return status, data, err
}

// play runs the agents in a bubble, whose clock moves only as the test and the agents wait.
func play(t *testing.T, s *shelf, script func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		s.lock.Lock()
		go func() { ended <- Run(ctx, s, Options{}) }()
		script()
		stop()
		s.lock.Unlock()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// pass lets time go by until every agent has nothing left to do.
func (s *shelf) pass(d time.Duration) {
	s.lock.Unlock()
	time.Sleep(d)
	synctest.Wait()
	s.lock.Lock()
}

func TestRun(t *testing.T) {
	s := newShelf(t, "gateway")
	leaf := agentHome.path + "/leaf-01"
	gen := func(field string) any { return dig(s.objects[leaf], "status", field) }
	play(t, s, func() {
		s.pass(10 * time.Second)
		for _, name := range []string{"leaf-01", "leaf-02", "leaf-03", "spine-01", "spine-02"} {
			agent := s.objects[agentHome.path+"/"+name]
			if dig(agent, "status", "lastAppliedGen") != 1.0 {
				t.Errorf("after 10 s, the agent of %s has applied nothing: %v", name, agent["metadata"])
			}
		}
		if got := len(s.writes); got != 7 {
			t.Errorf("%d machines report, want 5 switches and 2 gateways", got)
		}

		// A change of a Connection is pending at first, then applied.
		spec := s.objects[connectionsPath+"/server-03--unbundled--leaf-01"]["spec"].(map[string]any)
		spec["unbundled"].(map[string]any)["mtu"] = int64(9000)
		for waited := 0; gen("lastAttemptGen") != 2.0; waited++ {
			if waited > 16 {
				t.Error("the change was not noticed")
				break
			}
			s.pass(time.Second)
		}
		if gen("lastAppliedGen") != 1.0 {
			t.Errorf("the change was applied at once: generation %v", gen("lastAppliedGen"))
		}
		s.pass(7 * time.Second)
		if gen("lastAppliedGen") != 2.0 {
			t.Errorf("the change was not applied: generation %v", gen("lastAppliedGen"))
		}
		if other := s.objects[agentHome.path+"/leaf-02"]; dig(other, "status", "lastAppliedGen") != 1.0 {
			t.Error("leaf-02 has nothing to do with the change")
		}

		// Somebody else's write and somebody's deletion are survived.
		s.objects[leaf]["metadata"].(map[string]any)["resourceVersion"] = "0"
		delete(s.objects, agentHome.path+"/leaf-03")
		s.pass(40 * time.Second)
		if s.objects[agentHome.path+"/leaf-03"] == nil {
			t.Error("a deleted agent was not made again")
		}

		// A deleted Switch leaves its agent behind, silent.
		delete(s.objects, switchesPath+"/leaf-02")
		s.pass(16 * time.Second)
		silent := len(s.writes[agentHome.path+"/leaf-02"])
		s.pass(time.Minute)
		if s.objects[agentHome.path+"/leaf-02"] == nil || len(s.writes[agentHome.path+"/leaf-02"]) != silent {
			t.Error("the agent of a deleted switch should stay and say nothing")
		}
		beats := len(s.writes[leaf])
		s.pass(time.Minute)
		if got := len(s.writes[leaf]) - beats; got != 4 {
			t.Errorf("%d reports in a minute", got)
		}
	})
}

func TestRunSurvivesErrors(t *testing.T) {
	s := newShelf(t, "mesh")
	play(t, s, func() {
		s.broken = errors.New("connection refused")
		s.pass(time.Minute)
		if len(s.objects) != 12 {
			t.Errorf("%d objects while nothing can be written", len(s.objects))
		}
		s.broken = nil
		s.pass(40 * time.Second)
		if got := len(s.writes); got != 3 {
			t.Errorf("%d of 3 agents report", got)
		}
	})
}

// TestReportsAreSpread wants no second with more than its share of the writes of a period.
func TestReportsAreSpread(t *testing.T) {
	s := newShelf(t, "spine-leaf")
	play(t, s, func() {
		s.pass(time.Minute)
		start := time.Now()
		clear(s.writes)
		s.pass(15 * time.Second)
		seconds := map[int]int{}
		for _, times := range s.writes {
			for _, at := range times {
				seconds[int(at.Sub(start).Seconds())]++
			}
		}
		for second, n := range seconds {
			if n > 3 {
				t.Errorf("%d of 7 reports in second %d", n, second)
			}
		}
	})
}
