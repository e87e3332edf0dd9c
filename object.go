package hedgerow

import (
	"encoding/hex"
	"time"
)

// Ref is the identity of an object inside a fabric.
type Ref struct{ Group, Kind, Namespace, Name string }

// String is "Kind namespace/name", or "Kind name" without a namespace, or
// "Kind" while nothing more is known.
func (r Ref) String() string {
	if r.Name == "" && r.Namespace == "" {
		return r.Kind
	}
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Digest is the SHA-256 of an object's canonical content.
type Digest [32]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// An Object is one resource as its source gave it. Content is canonical JSON:
// keys sorted, no white space, numbers and strings as the source wrote them,
// without server-set metadata and without what the kind's rule excludes.
type Object struct {
	Ref
	UID             string
	ResourceVersion string
	Generation      int64
	CreatedAt       time.Time // the cluster's creationTimestamp
	Digest          Digest
	// Content is nil when the record already holds this digest for this
	// object: it was proven unchanged and not carried along.
	Content []byte
	Vitals  []byte // canonical JSON of the kind's vitals, nil when it has none
}

// A Mark is what the record knows of an object without its content.
type Mark struct {
	Ref
	UID             string
	ResourceVersion string // the last one seen, even when the content was the same
	Digest          Digest
}

// KindSnapshot is what a pass learned about one kind. Objects are to be
// believed complete only when Verdict is Complete.
type KindSnapshot struct {
	Kind     Kind
	Verdict  Verdict
	Err      error  // why the verdict is not Complete
	Revision string // resourceVersion of the list
	Objects  []Object
	// Unreadable objects are present in the source but could not be
	// understood; each has a sentence. They are never taken for deleted.
	Unreadable []Unreadable
	Requests   int
	Bytes      int64 // received, after decompression
	Duration   time.Duration
}

// Unreadable is an object that is there but could not be read.
type Unreadable struct {
	Ref
	Err error
}

// Verdict is the outcome of reading one kind: four different things, of which
// only Complete allows a deletion to be inferred.
type Verdict string

// The verdicts.
const (
	Complete  Verdict = "complete"  // the whole list was read
	Absent    Verdict = "absent"    // the cluster does not serve this kind
	Forbidden Verdict = "forbidden" // 403
	Failed    Verdict = "failed"    // anything else; the error says what
	// Followed says nothing of the whole: changes of the kind were seen.
	Followed Verdict = "followed"
)

// Recorded is an object as the record has it, with the period that it is in.
type Recorded struct {
	Object
	Since    time.Time
	SinceRun int64
	Began    Began
	VitalsAt time.Time // when the vitals were read, zero without any
}

// ObjectQuery selects objects of one kind, by namespace and name.
type ObjectQuery struct {
	// Text is to be in the name or anywhere in the content, in any case; "" for
	// every object.
	Text string
	// After this one; "" from the first on.
	AfterNamespace, AfterName string
	Limit                     int
}

// Found is an object that a search has found.
type Found struct {
	Fabric     int64
	FabricName string
	Plural     string // of its kind
	Ref
}
