package syncer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hedgerow"
)

// unserved is a kind that this pass did not read, and why.
type unserved struct {
	kind    hedgerow.Kind
	verdict hedgerow.Verdict
	err     error
}

func join(what []string) string { return strings.Join(what, ", ") }

// sort says which kinds to read, and what becomes of the recorded ones that
// the cluster does not serve: absent if it said so, failed if it could not say.
func (o *observation) sort(found hedgerow.Discovery, known []hedgerow.Kind) (serve []hedgerow.Kind, un []unserved) {
	for _, k := range found.Kinds {
		if o.excluded(k) {
			o.left++
			continue
		}
		serve = append(serve, k)
	}
	unknownGroups := map[string]bool{}
	for g := range found.FailedGroups {
		unknownGroups[g] = true
	}
	for _, k := range known {
		if slices.ContainsFunc(found.Kinds, func(f hedgerow.Kind) bool { return f.ID() == k.ID() }) || o.excluded(k) {
			continue
		}
		if err, failed := found.FailedGroups[k.Group]; failed {
			delete(unknownGroups, k.Group)
			un = append(un, unserved{k, hedgerow.Failed, err})
			continue
		}
		un = append(un, unserved{k, hedgerow.Absent, hedgerow.Errorf(hedgerow.CodeNotServed, "the cluster no longer serves %s.%s", k.Plural, k.Group).
			WithHint("If that is meant, leave the kind out: hedgerow fabric edit %s --exclude %s", o.request.Fabric.Name, k.Plural)})
	}
	// A group that could not be asked and of which nothing is recorded: it
	// must still show.
	for g := range unknownGroups {
		un = append(un, unserved{hedgerow.Kind{Group: g, Plural: "*"}, hedgerow.Failed, found.FailedGroups[g]})
	}
	return serve, un
}

func (o *observation) excluded(k hedgerow.Kind) bool {
	return slices.ContainsFunc(o.request.Fabric.Policy.Exclude, k.Matches)
}

// nothing concludes a pass that could not even ask what is served.
func (o *observation) nothing(known []hedgerow.Kind, marks map[hedgerow.KindID][]hedgerow.Mark, err error) hedgerow.Commit {
	r := o.run
	r.Outcome, r.Code, r.Message = hedgerow.RunFailed, hedgerow.CodeOf(err), advise(err.Error(), err)
	for _, k := range known {
		if o.excluded(k) {
			continue
		}
		e := o.carry(k, len(marks[k.ID()]))
		e.Verdict, e.Code, e.Message = hedgerow.Failed, r.Code, err.Error()
		if r.Code == hedgerow.CodeForbidden {
			e.Verdict = hedgerow.Forbidden
		}
		r.Kinds = append(r.Kinds, e)
	}
	return hedgerow.Commit{Run: r}
}

// carry begins the evidence of a kind with what was last proven of it.
func (o *observation) carry(k hedgerow.Kind, present int) hedgerow.KindEvidence {
	b := o.before[k.ID()]
	return hedgerow.KindEvidence{
		Group: k.Group, Kind: k.Kind, Plural: k.Plural, Present: present,
		CompleteAt: b.CompleteAt, CompleteRun: b.CompleteRun, Fingerprint: b.Fingerprint, Revision: b.Revision,
	}
}

// conclude compares the snapshots with the record and says what to commit.
func (o *observation) conclude(snaps []hedgerow.KindSnapshot, un []unserved, known []hedgerow.Kind, marks map[hedgerow.KindID][]hedgerow.Mark) hedgerow.Commit {
	c := hedgerow.Commit{Run: o.run, Known: known}
	var gone, present, whole int
	var troubles []trouble
	for _, ms := range marks {
		present += len(ms)
	}
	for _, s := range snaps {
		distinct(&s)
		e := o.carry(s.Kind, len(marks[s.Kind.ID()]))
		e.Verdict, e.Requests, e.Bytes, e.DurationMS = s.Verdict, s.Requests, s.Bytes, s.Duration.Milliseconds()
		if s.Verdict != hedgerow.Absent {
			// Also of a kind that could not be read it is known that it is there.
			c.Kinds = append(c.Kinds, s.Kind)
		}
		if s.Verdict != hedgerow.Complete {
			e.Code, e.Message = hedgerow.CodeOf(s.Err), s.Err.Error()
			if s.Verdict != hedgerow.Absent || e.Present > 0 {
				troubles = append(troubles, trouble{e, s.Kind.Plural, s.Err})
			}
			c.Run.Kinds = append(c.Run.Kinds, e)
			continue
		}
		whole++
		m := compare(s, marks[s.Kind.ID()])
		m.Began = hedgerow.Created
		if e.CompleteRun == 0 {
			m.Began = hedgerow.FirstSeen
		}
		if m.Changes() || len(m.Touched) > 0 {
			c.Moves = append(c.Moves, m)
		}
		gone += len(m.Deleted) + len(m.Renewed) // another cluster has the same names under other uids
		e.CompleteRun, e.Revision, e.Fingerprint = c.Run.ID, s.Revision, s.Kind.Reading()
		e.Counts = count(s, m)
		e.Present += len(m.Created) - len(m.Deleted)
		for _, u := range s.Unreadable {
			e.Unreadable = append(e.Unreadable, u.Err.Error())
			if len(e.Unreadable) == 20 {
				break
			}
		}
		if len(s.Unreadable) > 0 {
			e.Code, e.Message = hedgerow.CodeGarbage, fmt.Sprintf("%s of %s could not be read: %s", hedgerow.Count(len(s.Unreadable), "object"), s.Kind.Plural, e.Unreadable[0])
			troubles = append(troubles, trouble{e, s.Kind.Plural, s.Unreadable[0].Err})
		}
		c.Run.Kinds = append(c.Run.Kinds, e)
	}
	for _, u := range un {
		e := o.carry(u.kind, len(marks[u.kind.ID()]))
		e.Verdict, e.Code, e.Message = u.verdict, hedgerow.CodeOf(u.err), u.err.Error()
		if u.verdict != hedgerow.Absent || e.Present > 0 {
			troubles = append(troubles, trouble{e, u.kind.Plural, u.err})
		}
		c.Run.Kinds = append(c.Run.Kinds, e)
	}
	slices.SortStableFunc(c.Run.Kinds, func(a, b hedgerow.KindEvidence) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
	o.judge(&c, whole, troubles)
	if p := o.request.Fabric.Policy; !o.request.AcceptDeletions && gone >= p.MaxDeleteFloor && float64(gone) > p.MaxDeleteShare*float64(present) {
		return o.held(c, gone, present, marks)
	}
	return c
}

// trouble is a kind of which this pass does not know all.
type trouble struct {
	evidence hedgerow.KindEvidence
	plural   string
	err      error
}

// advise adds to what went wrong what to do about it. Who reads of a run
// later, in the status or in a list of runs, has only this sentence.
func advise(what string, err error) string {
	hint := hedgerow.HintOf(err)
	if hint == "" {
		return what
	}
	return strings.TrimSuffix(what, ".") + ". " + strings.TrimSuffix(hint, ".")
}

// judge decides the outcome of a run in which so many kinds were read whole.
func (o *observation) judge(c *hedgerow.Commit, whole int, troubles []trouble) {
	r := &c.Run
	if whole == 0 && len(troubles) == 0 {
		r.Outcome, r.Code = hedgerow.RunFailed, hedgerow.CodeNotServed
		if o.left > 0 {
			r.Code = hedgerow.CodeInvalid
			r.Message = fmt.Sprintf("every kind that the cluster serves is excluded; see hedgerow fabric show %s", o.request.Fabric.Name)
			return
		}
		r.Message = "the cluster serves no kind of a *" + hedgerow.GroupSuffix + " group; is it the cluster of a Hedgehog fabric?"
		return
	}
	if len(troubles) == 0 {
		r.Outcome = hedgerow.RunComplete
		return
	}
	r.Outcome = hedgerow.RunPartial
	if whole == 0 {
		r.Outcome = hedgerow.RunFailed
	}
	// One sentence for all kinds that failed in the same way.
	r.Code, r.Message = troubles[0].evidence.Code, troubles[0].evidence.Message
	var same, others []string
	for _, t := range troubles {
		if t.evidence.Code == r.Code {
			same = append(same, t.plural)
		} else {
			others = append(others, fmt.Sprintf("%s (%s)", t.plural, t.evidence.Code))
		}
	}
	switch {
	case len(same) > 1:
		r.Message = fmt.Sprintf("%d of %d kinds could not be read (%s): %s", len(same), len(r.Kinds), describe(same), r.Message)
	case len(r.Kinds) > 1 && troubles[0].evidence.Verdict != hedgerow.Complete:
		r.Message = fmt.Sprintf("1 of %d kinds could not be read: %s", len(r.Kinds), r.Message)
	}
	if len(others) > 0 {
		r.Message += "; nor could " + describe(others)
	}
	r.Message = advise(r.Message, troubles[0].err)
}

// held concludes a pass that found so much gone that a person must look first:
// nothing but the run is committed.
func (o *observation) held(c hedgerow.Commit, gone, present int, marks map[hedgerow.KindID][]hedgerow.Mark) hedgerow.Commit {
	r := c.Run
	r.Outcome, r.Code = hedgerow.RunFailed, hedgerow.CodeGuard
	r.Message = fmt.Sprintf("%d of the %d objects recorded are gone from the cluster, or others of the same name; nothing was recorded. If that is right: hedgerow sync %s --accept-deletions. If this is another cluster, add it as a fabric of its own",
		gone, present, o.request.Fabric.Name)
	for i, e := range r.Kinds {
		if e.Verdict != hedgerow.Complete {
			continue // it has a reason of its own
		}
		deleted := e.Deleted
		e = o.carry(hedgerow.Kind{Group: e.Group, Kind: e.Kind, Plural: e.Plural}, len(marks[e.ID()]))
		e.Verdict, e.Code, e.Message = hedgerow.Failed, hedgerow.CodeGuard, "not recorded: too much is gone from the fabric"
		if deleted > 0 {
			e.Message = fmt.Sprintf("%s gone; not recorded", hedgerow.Count(deleted, "object"))
		}
		r.Kinds[i] = e
	}
	return hedgerow.Commit{Run: r}
}

// distinct keeps the first of several objects of one name, and puts the others
// among the unreadable: a list that says two things of one object proves
// neither, but harms no other object.
func distinct(s *hedgerow.KindSnapshot) {
	less := func(a, b hedgerow.Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	ordered := true // as API servers list them
	for i := 1; i < len(s.Objects) && ordered; i++ {
		ordered = less(s.Objects[i-1], s.Objects[i]) < 0
	}
	if ordered {
		return
	}
	seen := make(map[hedgerow.Ref]bool, len(s.Objects))
	s.Objects = slices.DeleteFunc(s.Objects, func(o hedgerow.Object) bool {
		again := seen[o.Ref]
		seen[o.Ref] = true
		if again {
			s.Unreadable = append(s.Unreadable, hedgerow.Unreadable{Ref: o.Ref, Err: hedgerow.Errorf(hedgerow.CodeGarbage, "%s stands in the list twice", o.Ref)})
		}
		return again
	})
}

// compare says what changed of one kind between the record and a complete
// snapshot.
func compare(s hedgerow.KindSnapshot, marks []hedgerow.Mark) hedgerow.Move {
	m := hedgerow.Move{Kind: s.Kind.ID()}
	type key struct{ namespace, name string }
	old := make(map[key]int, len(marks))
	for i, k := range marks {
		old[key{k.Namespace, k.Name}] = i
	}
	there := make([]bool, len(marks))
	for _, o := range s.Objects {
		i, ok := old[key{o.Namespace, o.Name}]
		if !ok {
			m.Created = append(m.Created, o)
			continue
		}
		there[i] = true
		switch k := marks[i]; {
		case k.UID != o.UID:
			m.Renewed = append(m.Renewed, o)
		case k.Digest != o.Digest:
			m.Updated = append(m.Updated, o)
		case k.ResourceVersion != o.ResourceVersion:
			m.Touched = append(m.Touched, o)
		}
	}
	for _, u := range s.Unreadable {
		if i, ok := old[key{u.Namespace, u.Name}]; ok {
			there[i] = true
		}
	}
	for i, k := range marks {
		if !there[i] {
			m.Deleted = append(m.Deleted, k)
		}
	}
	return m
}

// count sums up a move. A renewed object was deleted and created.
func count(s hedgerow.KindSnapshot, m hedgerow.Move) hedgerow.Counts {
	n := len(m.Renewed)
	return hedgerow.Counts{
		Listed:    len(s.Objects) + len(s.Unreadable),
		Created:   len(m.Created) + n,
		Updated:   len(m.Updated),
		Deleted:   len(m.Deleted) + n,
		Unchanged: len(s.Objects) - len(m.Created) - len(m.Updated) - n,
		Failed:    len(s.Unreadable),
	}
}
