package manifest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// A Mask replaces text that must not be stored by a mark that differs when the
// text differs, so that a change still shows, and that tells nothing else: it
// is keyed, so that a short password cannot be guessed from it.
type Mask struct{ key []byte }

// NewMask returns a mask with a key of its own, which should be random and
// the same for a record's whole life.
func NewMask(key []byte) Mask { return Mask{key} }

// MaskPrefix begins every masked text.
const MaskPrefix = "withheld:"

func (m Mask) hide(text string) string {
	if strings.HasPrefix(text, MaskPrefix) {
		return text
	}
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(text))
	return MaskPrefix + hex.EncodeToString(h.Sum(nil)[:8])
}

// KeepAnnotation reports whether the value of an annotation is stored as it
// is: those that the fabric's own software and installer write. Every other
// value is masked, for annotations are where tools leave copies of secrets.
func KeepAnnotation(key string) bool {
	switch key {
	case "fabric.githedgehog.com/route-summ", "fabric.githedgehog.com/p2p-link",
		"fabric.githedgehog.com/switches", "fabric.githedgehog.com/servers", "fabric.githedgehog.com/ports",
		"gateway.githedgehog.com/vpcs", "gateway.githedgehog.com/nat":
		return true
	}
	return strings.HasPrefix(key, "hhfab.githedgehog.com/") || strings.HasPrefix(key, "link.hhfab.githedgehog.com/")
}

// DropAnnotation reports whether an annotation is not stored at all: kubectl's
// copy of the whole object changes with it and says nothing more.
func DropAnnotation(key string) bool {
	return key == "kubectl.kubernetes.io/last-applied-configuration"
}

// secretName matches names of fields whose text is masked in every kind. No
// field of an authored Hedgehog kind has such a name.
var secretName = regexp.MustCompile(`(?i)passw|secret|token|credential|api_?key|private_?key|auth_?key|access_?key|community_?string`)

// maybeSecret are parts of such names, for a first look that costs little.
var maybeSecret = [][]byte{[]byte("passw"), []byte("secret"), []byte("token"), []byte("credential"), []byte("key"), []byte("string")}

// fields masks every text below a field with a secret's name, and the value of
// every {name, value} pair with one, in canonical JSON.
func (m Mask) fields(content []byte) ([]byte, error) {
	lower := bytes.ToLower(content)
	look := false
	for _, p := range maybeSecret {
		if bytes.Contains(lower, p) {
			look = true
			break
		}
	}
	if !look {
		return content, nil
	}
	v, err := decode(content)
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return content, nil
	}
	// What metadata holds are names, and its annotations are masked already.
	meta := root["metadata"]
	delete(root, "metadata")
	if !m.walk(root, false) {
		return content, nil
	}
	if meta != nil {
		root["metadata"] = meta
	}
	return encode(v)
}

// walk masks in place and reports whether it did. It masks the text, or the
// texts in lists, of a field with a secret's name; the value of a {name, value}
// pair with one; and {value} or {data} directly below one. It goes no deeper,
// for the keys of maps are names that people chose: a subnet may be called
// "token". For the same reason numbers stay, as in a map of VPCs to VNIs.
func (m Mask) walk(v map[string]any, below bool) (changed bool) {
	pair, _ := v["name"].(string)
	for k, e := range v {
		secret := secretName.MatchString(k) || (k == "value" || k == "data") && (below || secretName.MatchString(pair))
		switch e := e.(type) {
		case string:
			if secret {
				v[k] = m.hide(e)
				changed = true
			}
		case []any:
			changed = m.list(e, secret) || changed
		case map[string]any:
			if k == "labels" {
				continue // their keys are names
			}
			changed = m.walk(e, secret) || changed
		}
	}
	return changed
}

func (m Mask) list(v []any, secret bool) (changed bool) {
	for i, e := range v {
		switch e := e.(type) {
		case string:
			if secret {
				v[i] = m.hide(e)
				changed = true
			}
		case []any:
			changed = m.list(e, secret) || changed
		case map[string]any:
			changed = m.walk(e, secret) || changed
		}
	}
	return changed
}
