package hedgerow

import "time"

// Outcome is how a run ended, or Running.
type Outcome string

// The outcomes.
const (
	Running     Outcome = "running"
	RunComplete Outcome = "complete"    // every kind was read whole
	RunPartial  Outcome = "partial"     // some kinds were
	RunFailed   Outcome = "failed"      // none was, or the pass stopped to ask
	Interrupted Outcome = "interrupted" // the process ended before the run did
)

// TriggerFollow is the trigger of a run that is no pass: it records what a
// follower saw happen between passes.
const TriggerFollow = "follow"

// A Run is the durable record of one pass, or of what a follower saw between
// two. Its numbers are what was committed with it, in the same transaction.
type Run struct {
	ID            int64
	FabricID      int64
	Trigger       string // manual, schedule, gap (asked for by a follower), webhook, follow
	Actor         string // who asked for it
	StartedAt     time.Time
	FinishedAt    time.Time // zero while running
	Outcome       Outcome
	Code          Code   // why it is not complete
	Message       string // the sentence for it
	VersionBefore int64
	VersionAfter  int64
	Kinds         []KindEvidence
}

// Counts sums the evidence of all kinds.
func (r Run) Counts() Counts {
	var c Counts
	for _, k := range r.Kinds {
		c.Add(k.Counts)
	}
	return c
}

// Counts are numbers of objects.
type Counts struct {
	Listed    int `json:"listed"`
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
	Deleted   int `json:"deleted"`
	Failed    int `json:"failed"` // there, but not readable
}

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Listed += d.Listed
	c.Created += d.Created
	c.Updated += d.Updated
	c.Unchanged += d.Unchanged
	c.Deleted += d.Deleted
	c.Failed += d.Failed
}

// Changed reports whether any object changed.
func (c Counts) Changed() bool { return c.Created+c.Updated+c.Deleted > 0 }

// KindEvidence is what a run proved about one kind. CompleteAt and
// CompleteRun carry the last complete reading forward, so that the newest
// finished run alone says how old the proof of every kind is.
type KindEvidence struct {
	Group       string    `json:"group"`
	Kind        string    `json:"kind"`
	Plural      string    `json:"plural"`
	Verdict     Verdict   `json:"verdict"`
	Code        Code      `json:"code,omitempty"`
	Message     string    `json:"message,omitempty"`
	Revision    string    `json:"revision,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // Kind.Reading at the last complete reading
	CompleteAt  time.Time `json:"completeAt,omitzero"`
	CompleteRun int64     `json:"completeRun,omitempty"`
	Present     int       `json:"present"` // objects in the record after this run
	Counts
	Requests   int      `json:"requests,omitempty"`
	Bytes      int64    `json:"bytes,omitempty"`
	DurationMS int64    `json:"durationMs"`
	Unreadable []string `json:"unreadable,omitempty"` // a sentence each, at most 20
}

// ID is the identity of the kind.
func (k KindEvidence) ID() KindID { return KindID{k.Group, k.Kind} }

// A Period is a span of time in which an object had one content. The latest
// period of an object is its state; the earlier ones are its history.
type Period struct {
	Ref
	UID        string
	Digest     Digest
	Since      time.Time // when the pass that saw it begin was committed
	SinceRun   int64
	Began      Began
	Until      time.Time // zero: it still holds
	UntilRun   int64
	Ended      Ended
	Generation int64
}

// Began says how a period began.
type Began string

// The beginnings.
const (
	FirstSeen Began = "first seen" // it was there when we first looked
	Created   Began = "created"    // it was not there at the pass before
	Updated   Began = "updated"
)

// Ended says how a period ended.
type Ended string

// The endings.
const (
	StillHolds Ended = ""
	Replaced   Ended = "replaced" // by an updated content
	Deleted    Ended = "deleted"
)

// An Event is one line of history: an object began, changed or went.
type Event struct {
	Ref
	At     time.Time
	Run    int64
	What   string // first seen, created, updated, deleted
	UID    string
	Before *Digest // nil when it was not there before
	After  *Digest // nil when it is gone
}

// HistoryQuery selects events. The zero value of a field selects everything.
type HistoryQuery struct {
	Kind      KindID
	Namespace string
	Name      string
	Run       int64 // events of this run only
	Since     time.Time
	Changes   bool // without what was only seen for the first time
	Limit     int  // newest first; 0: 100
}
