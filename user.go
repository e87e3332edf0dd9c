package hedgerow

import (
	"regexp"
	"time"
)

// Role is what a user may do. Each includes those before it.
type Role string

// The roles.
const (
	NoRole   Role = ""
	Viewer   Role = "viewer"   // see
	Operator Role = "operator" // ask for passes
	Admin    Role = "admin"    // see what is wrong with the processes; change fabrics and users
)

// Roles are all that can be given, the least first.
var Roles = []Role{Viewer, Operator, Admin}

func (r Role) rank() int {
	for i, x := range Roles {
		if x == r {
			return i + 1
		}
	}
	return 0
}

// Includes reports whether whoever has r may do what need is for.
func (r Role) Includes(need Role) bool { return r.rank() >= need.rank() }

// Valid reports whether r can be given to somebody.
func (r Role) Valid() bool { return r.rank() > 0 }

// A User is somebody who may sign in.
type User struct {
	ID        int64
	Name      string
	Role      Role           // in every fabric
	Fabrics   map[int64]Role // more than that, in single ones
	CreatedAt time.Time
}

// In is the user's role in a fabric; without one the fabric does not exist for
// them.
func (u User) In(fabric int64) Role {
	if r := u.Fabrics[fabric]; r.Includes(u.Role) {
		return r
	}
	return u.Role
}

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)

// ValidUserName says what is wrong with a name for a user, nil when nothing
// is.
func ValidUserName(name string) error {
	if !userName.MatchString(name) {
		return Errorf(CodeInvalid, "%q is no name for a user: use letters, digits and . _ @ + -, at most 128 of them, a letter or digit first", OneLine(name))
	}
	return nil
}
