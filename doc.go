// Package hedgerow is the vocabulary of Hedgerow: the plain types that every
// other package shares, the closed sets of their values, and the one pure
// function, [StatusOf], that turns facts about a fabric into a badge and a
// sentence.
//
// It must know nothing of clusters, Git, SQL or screens, and imports the
// standard library only. ARCHITECTURE.md shows how they fit: a
// [Fabric] is one Hedgehog installation; a snapshot holds every [Object] of
// one source, with a [Verdict] per [Kind]; a [Run] is the
// durable record of work done.
package hedgerow
