package hedgerow

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

// A Pass is a run under way. It keeps every other pass away from its fabric
// until End is called.
type Pass struct {
	Run Run
	// Before is what the newest earlier run with evidence proved.
	Before []KindEvidence
	// End lets go of the fabric. A pass that ends without a commit is closed
	// as interrupted by the next process.
	End func()
}

// A Commit is everything that one run changes.
type Commit struct {
	Run   Run    // as it ended; VersionAfter is filled in
	Kinds []Kind // as served now
	Known []Kind // as recorded when the run began
	Moves []Move // at most one a kind
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
