package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"

	"hedgerow"
	"hedgerow/internal/manifest"
)

// acceptMeta asks for names and versions only, in the form that costs least to
// write and read.
const acceptMeta = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," + acceptMetaJSON

// seen is what a metadata-only list says of an object.
type seen struct{ namespace, name, uid, resourceVersion string }

// delta lists names and versions only, and fetches the objects that moved. A
// resourceVersion changes with every write of an object, so one that did not
// proves, with an unchanged schema, that the object reads as before.
func (r *reading) delta(ctx context.Context) error {
	all, head, err := r.versions(ctx)
	if err != nil {
		return err
	}
	if head.Continue != "" {
		return r.whole(ctx) // there is more than was asked for in one piece
	}
	var moved []seen
	r.snap.Objects = make([]hedgerow.Object, 0, len(all))
	for _, s := range all {
		if m := r.mark(s.namespace, s.name); m != nil && m.UID == s.uid && m.ResourceVersion == s.resourceVersion {
			r.snap.Objects = append(r.snap.Objects, hedgerow.Object{Ref: m.Ref, UID: m.UID, ResourceVersion: m.ResourceVersion, Digest: m.Digest})
			continue
		}
		moved = append(moved, s)
	}
	if len(moved) > maxSingles || len(moved) > len(all)/10 {
		return r.whole(ctx)
	}
	r.snap.Revision = head.ResourceVersion
	gone, err := r.fetch(ctx, moved)
	if gone && err == nil {
		return r.whole(ctx)
	}
	return err
}

// fetch reads objects one by one, a few at a time. It reports whether one has
// gone since it was listed: then the list with the others would be of no moment
// at all, and a follower that goes on from its revision would see the object
// once more.
func (r *reading) fetch(ctx context.Context, moved []seen) (gone bool, _ error) {
	const parallel = 4
	items := make([][]byte, len(moved))
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(parallel)
	for i, s := range moved {
		eg.Go(func() error {
			k := r.snap.Kind
			p := "/apis/" + k.APIVersion()
			if s.namespace != "" {
				p += "/namespaces/" + s.namespace
			}
			b, _, err := r.client.getAll(ctx, p+"/"+k.Plural+"/"+s.name, nil, "application/json")
			var st *statusError
			if errors.As(err, &st) && st.code == http.StatusNotFound && st.reason == "NotFound" {
				return nil // deleted since it was listed; the API itself says so
			}
			items[i] = b
			return err
		})
	}
	r.snap.Requests += len(moved)
	if err := eg.Wait(); err != nil {
		return false, err
	}
	for _, b := range items {
		if b == nil {
			gone = true
			continue
		}
		r.snap.Bytes += int64(len(b))
		if err := r.add(b); err != nil {
			return false, err
		}
	}
	return gone, nil
}

// versions reads a metadata-only list.
func (r *reading) versions(ctx context.Context) (all []seen, h listHead, err error) {
	for range attempts {
		r.snap.Requests++
		var a *answer
		if a, err = r.client.get(ctx, r.client.path(r.snap.Kind), nil, acceptMeta); err != nil {
			return nil, h, err
		}
		var b []byte
		b, err = readSized(newCapped(a.body, maxList), len(r.prior.Marks)*768)
		_ = a.body.Close()
		if err == nil {
			r.snap.Bytes += int64(len(b))
			all, h, err = parseVersions(b, make([]seen, 0, len(r.prior.Marks)+16))
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				err = hedgerow.Errorf(hedgerow.CodeGarbage, "%s: the answer of %s (%s) is not a list of names: %s", listOp(r.snap.Kind), r.client.base.Host, a.header.Get("Content-Type"), err).
					WithHint("%s", hintGarbage)
			}
			return all, h, err
		}
		if !again(ctx, err) {
			break
		}
	}
	return nil, h, err
}

// readSized is io.ReadAll with a first guess of the size.
func readSized(r io.Reader, guess int) ([]byte, error) {
	b := make([]byte, 0, max(guess, 64<<10))
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func parseVersions(b []byte, into []seen) ([]seen, listHead, error) {
	if len(b) >= len(protoMagic) && string(b[:len(protoMagic)]) == protoMagic {
		return parseProtoVersions(b[len(protoMagic):], into)
	}
	h, err := readList(jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true)), func(item []byte) error {
		var o hedgerow.Object
		if err := manifest.Identity(item, &o); err != nil {
			return err
		}
		if o.Name == "" {
			return errors.New("an object has no name")
		}
		into = append(into, seen{o.Namespace, o.Name, o.UID, o.ResourceVersion})
		return nil
	})
	return into, h, err
}

// protoMagic begins every protobuf answer of a Kubernetes API.
const protoMagic = "k8s\x00"

var errProto = errors.New("it is not the protobuf message that it should be")

// parseProtoVersions reads runtime.Unknown{raw=2} holding a
// PartialObjectMetadataList{metadata=1, items=2} of
// PartialObjectMetadata{metadata=1} of ObjectMeta{name=1, namespace=3, uid=5,
// resourceVersion=6}; the numbers are those of the .proto files of
// k8s.io/apimachinery, which never change.
func parseProtoVersions(b []byte, into []seen) ([]seen, listHead, error) {
	var h listHead
	err := eachField(b, func(num protowire.Number, list []byte) error {
		if num != 2 {
			return nil
		}
		return eachField(list, func(num protowire.Number, v []byte) error {
			switch num {
			case 1: // ListMeta{resourceVersion=2, continue=3}
				return eachField(v, func(num protowire.Number, v []byte) error {
					switch num {
					case 2:
						h.ResourceVersion = string(v)
					case 3:
						h.Continue = string(v)
					}
					return nil
				})
			case 2:
				s, err := parseProtoItem(v)
				into = append(into, s)
				return err
			}
			return nil
		})
	})
	if err == nil && h.ResourceVersion == "" {
		err = errProto
	}
	return into, h, err
}

func parseProtoItem(b []byte) (s seen, err error) {
	err = eachField(b, func(num protowire.Number, meta []byte) error {
		if num != 1 {
			return nil
		}
		return eachField(meta, func(num protowire.Number, v []byte) error {
			switch num {
			case 1:
				s.name = string(v)
			case 3:
				s.namespace = string(v)
			case 5:
				s.uid = string(v)
			case 6:
				s.resourceVersion = string(v)
			}
			return nil
		})
	})
	if err == nil && s.name == "" {
		err = errProto
	}
	return s, err
}

// eachField calls fn with every length-delimited field of a message and passes
// over the others.
func eachField(b []byte, fn func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errProto
		}
		b = b[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return errProto
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errProto
		}
		if err := fn(num, v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
