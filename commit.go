package hedgerow

import "time"

// Discovery is what a source says that it serves.
type Discovery struct {
	Kinds []Kind // of Hedgehog groups, in order of group and kind
	// FailedGroups could not be asked. Their kinds are not absent: nothing is
	// known of them.
	FailedGroups map[string]error
}

// Prior is what the record holds of one kind when a pass begins.
type Prior struct {
	Marks []Mark
	// Fingerprint is the Reading of the kind at its last complete reading, ""
	// when there was none. With another one nothing may be taken for unchanged.
	Fingerprint string
}

// An Opening says which run is to begin.
type Opening struct {
	Fabric  Fabric
	Trigger string
	Actor   string
	// Clock is read when every other run of the fabric has ended.
	Clock func() time.Time
	// Met, when set, is asked of the newest pass at a moment when no other can
	// begin. If that is the one that was wanted, no run begins.
	Met func(newest Run) bool
}

// A Pass is a run under way. It keeps every other pass away from its fabric
// until End is called.
type Pass struct {
	Run Run
	// Before is what the newest earlier pass with evidence proved.
	Before   []KindEvidence
	Schedule Schedule // as it was when the pass began
	Settings Settings // of the fabric, as it began
	// End lets go of the fabric. A pass that ends without a commit is closed
	// as interrupted by the next process.
	End func()
}

// Settings identify what a pass was made with.
type Settings struct {
	Changed time.Time // when the fabric had last been changed
	Cluster string    // which one was read
}

// A Commit is everything that one run changes.
type Commit struct {
	Run   Run    // as it ended; VersionAfter is filled in
	Kinds []Kind // as served now
	Known []Kind // as recorded when the run began
	Moves []Move // at most one a kind
	// Settings are the Pass's: what was read of another cluster than the
	// fabric's is worth nothing. The zero value takes it as it is.
	Settings Settings
	// Schedule is the fabric's from now on, nil when it stays as it is.
	Schedule *Schedule
}

// CommitTimeout bounds the one transaction that ends a pass.
const CommitTimeout = 2 * time.Minute

// A Sighting is what a watch told of one object: that it is so, or was so when
// it was deleted.
type Sighting struct {
	Object
	Deleted bool
}

// An Amendment is what a follower saw between two passes, in the order in
// which it happened, each object at most once.
type Amendment struct {
	Fabric    int64
	Process   string // the follower's
	Actor     string
	Basis     int64     // the newest pass that the follower knows of
	At        time.Time // when the first of the sightings came
	Now       func() time.Time
	Sightings []Sighting
	Revisions map[KindID]string // how far each kind has been followed with them
	// Evidence says what the run that records the moves proved of each kind.
	Evidence func([]Move) []KindEvidence
}

// Amended is what became of an amendment: it was recorded with Run, unless
// nothing was new, or one of the flags says why not.
type Amended struct {
	Run   Run
	Lost  bool // the fabric is no longer the follower's
	Busy  bool // a pass is under way: wait for it
	Moved bool // there has been another pass: begin again from what it read
}

// A Moment says where a fabric is. Two that are equal saw nothing happen
// between them.
type Moment struct {
	Version  int64  // of the data
	Pass     int64  // the newest one
	Running  bool   // it is under way
	Changed  int64  // when the fabric's settings last did, as a number
	Followed string // what its follower says, and since when
	Due      int64  // when it is to be read next
}

// A Move is what a run changes of one kind.
type Move struct {
	Kind    KindID
	Created []Object // not present before
	Began   Began    // how the created ones began: FirstSeen or Created
	Updated []Object // other content, same uid
	Renewed []Object // deleted and made again under another uid
	Deleted []Mark
	Touched []Object // same content; vitals or resourceVersion moved
}

// Changes reports whether m changes any content.
func (m Move) Changes() bool {
	return len(m.Created)+len(m.Updated)+len(m.Renewed)+len(m.Deleted) > 0
}
