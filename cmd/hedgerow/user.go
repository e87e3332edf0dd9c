package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/auth"
)

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Manage who may sign in to the pages", Args: subcommand, RunE: help}
	cmd.AddCommand(a.userAdd(), a.userList(), a.userPassword(), a.userRemove())
	return cmd
}

func (a *app) userAdd() *cobra.Command {
	var role string
	var fabrics []string
	var stdin bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Let somebody sign in, and print a password for them",
		Long: `Let somebody sign in to the pages of hedgerow serve. A password is made and
printed, once; or --password-stdin reads one from standard input.

The roles: a viewer sees, an operator may also ask for passes, an admin also sees
what is wrong with the processes, and will change fabrics and users when there
are pages for that. --role is for every fabric; --fabric NAME=ROLE is for one,
and a fabric in which somebody has no role does not exist for them.`,
		Example: `  hedgerow user add ada --role admin
  hedgerow user add bob --fabric lab=operator --fabric edge=viewer
  pass show hedgerow | hedgerow user add carol --role viewer --password-stdin`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u := hedgerow.User{Name: args[0], Role: hedgerow.Role(role), Fabrics: map[int64]hedgerow.Role{}}
			if role != "" && !u.Role.Valid() {
				return badRole(role)
			}
			if role == "" && len(fabrics) == 0 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "%s would see nothing", args[0]).WithHint("Give --role, or --fabric NAME=ROLE.")
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			for _, grant := range fabrics {
				name, in, _ := strings.Cut(grant, "=")
				if !hedgerow.Role(in).Valid() {
					return badRole(in)
				}
				f, err := db.Fabric(cmd.Context(), name)
				if err != nil {
					return err
				}
				u.Fabrics[f.ID] = hedgerow.Role(in)
			}
			password, hash, err := newPassword(stdin, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if _, err := db.AddUser(cmd.Context(), u, hash, a.now()); err != nil {
				return err
			}
			return a.told(u.Name, password, stdin)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "in every fabric: viewer, operator or admin")
	cmd.Flags().StringArrayVar(&fabrics, "fabric", nil, "a role in one fabric, NAME=ROLE; may be repeated")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func badRole(role string) error {
	return hedgerow.Errorf(hedgerow.CodeInvalid, "there is no role %q", role).WithHint("The roles are viewer, operator and admin.")
}

// newPassword makes a password, or reads one.
func newPassword(stdin bool, in io.Reader) (password, hash string, err error) {
	password = rand.Text()
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", "", err
		}
		password = strings.TrimRight(line, "\r\n")
	}
	hash, err = auth.Hash(password)
	return password, hash, err
}

// told says what a person has to know of a password that was made. It is the
// one place where one is printed.
func (a *app) told(name, password string, theirs bool) error {
	if theirs {
		fmt.Fprintf(a.out, "%s may sign in with that password.\n", name)
		return nil
	}
	a.note("The password of %s, shown this once:", name)
	_, err := fmt.Fprintln(a.out, password)
	return err
}

func (a *app) userPassword() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use: "password NAME", Short: "Give somebody a new password, and end their sessions",
		Example: `  hedgerow user password ada`,
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			password, hash, err := newPassword(stdin, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if err := db.SetPassword(cmd.Context(), args[0], hash); err != nil {
				return err
			}
			return a.told(args[0], password, stdin)
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (a *app) userRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take somebody's right to sign in, and end their sessions",
		Example: `  hedgerow user remove bob`,
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			if err := db.RemoveUser(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s is removed.\n", hedgerow.OneLine(args[0]))
			return nil
		},
	}
}

// userJSON is a user as -o json shows them.
type userJSON struct {
	Name    string                   `json:"name"`
	Role    hedgerow.Role            `json:"role"`
	Fabrics map[string]hedgerow.Role `json:"fabrics"`
}

func (a *app) userList() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use: "list", Short: "Show who may sign in, and what they may do",
		Example: `  hedgerow user list`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			users, err := db.Users(cmd.Context())
			if err != nil {
				return err
			}
			fabrics, err := db.Fabrics(cmd.Context())
			if err != nil {
				return err
			}
			list := []userJSON{}
			var rows [][]string
			for _, u := range users {
				j := userJSON{u.Name, u.Role, map[string]hedgerow.Role{}}
				var in []string
				for _, f := range fabrics {
					if r := u.Fabrics[f.ID]; r != hedgerow.NoRole {
						j.Fabrics[f.Name] = r
						in = append(in, f.Name+"="+string(r))
					}
				}
				slices.Sort(in)
				list = append(list, j)
				rows = append(rows, []string{u.Name, string(u.Role), strings.Join(in, ",")})
			}
			if o == "json" {
				return a.json(list)
			}
			if len(rows) == 0 {
				a.note("Nobody may sign in yet. Let somebody: hedgerow user add NAME --role admin")
				return nil
			}
			columns(a.out, []string{"NAME", "ROLE", "FABRICS"}, rows)
			return nil
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	return cmd
}
