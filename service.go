package hedgerow

import "time"

// A Process is a running `serve` or `worker`, as it last reported itself.
type Process struct {
	ID        string // random; new with every start
	Host      string
	PID       int
	Role      string // serve, worker
	Release   string
	Workers   int // passes at a time
	StartedAt time.Time
	BeatAt    time.Time // when it last reported
	TickedAt  time.Time // when it last looked for due fabrics; zero when it keeps no schedule
	Problems  []Problem
	Gone      bool // it has died without taking leave
}

// A Problem is something that a process found wrong with itself or with what
// it stands on.
type Problem struct {
	Reason  string    `json:"reason"` // one word, CamelCase
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Beat is how often a process reports itself, and Lease how long it counts as
// alive after it last did.
const (
	Beat  = 5 * time.Second
	Lease = 30 * time.Second
)

// ServiceFacts are what the record shows of the processes that keep it up to
// date.
type ServiceFacts struct {
	Alive    []string  // the ids of the processes that live
	TickedAt time.Time // the newest tick of any process, alive or not
	KeptAt   time.Time // the newest of those that live
	Problems []Problem // of those alive, and of the record itself
}

// Service sums up processes.
func Service(all []Process) ServiceFacts {
	var s ServiceFacts
	for _, p := range all {
		if p.TickedAt.After(s.TickedAt) {
			s.TickedAt = p.TickedAt
		}
		if p.Gone {
			continue
		}
		s.Alive = append(s.Alive, p.ID)
		if p.TickedAt.After(s.KeptAt) {
			s.KeptAt = p.TickedAt
		}
		s.Problems = append(s.Problems, p.Problems...)
	}
	return s
}

// A Claim says who follows a fabric that should be followed.
type Claim struct {
	Fabric  Fabric
	Process string // "" for nobody, or a process that is gone
}

// FollowState is how far a follower has come.
type FollowState string

// The states of a follower.
const (
	NotFollowed FollowState = ""
	Starting    FollowState = "starting"  // waits for a first pass, or connects
	Following   FollowState = "following" // every kind's changes come in
	Broken      FollowState = "broken"    // some kind's changes do not
)

// FollowFacts are what the record shows of a fabric's follower.
type FollowFacts struct {
	Wanted  bool // the policy asks for it
	State   FollowState
	Message string // why it is not following, when it should be
	Since   time.Time
	Process string // the id of who follows
}
