package sessionstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Login is the beginning of a login: a user, and which generation of the user's sessions the new one will belong to. If
// all sessions of the user are ended before the new one is created, or while it is, it never becomes valid: whoever
// still had the old password checked gets nothing from it.
//
// It can travel as text from one step of a login to the next, sealed or kept on the server (PutOneTime): it is not
// secret, but whoever could change it could choose the user.
type Login struct {
	user string
	gen  int64
}

// BeginLogin reads what Create needs to know from before the credentials are checked: call it first, check them then.
// Where the user is known only at the end, as with OAuth, call it as soon as that is, and before looking up whether the
// user may log in. It writes nothing, so trying names costs no rows.
func (s *Store[T]) BeginLogin(ctx context.Context, user string) (Login, error) {
	return s.beginLogin(ctx, s.pool, user)
}

func (s *Store[T]) beginLogin(ctx context.Context, db querier, user string) (Login, error) {
	if err := checkUser(user); err != nil {
		return Login{}, err
	}
	l := Login{user: user}
	if err := db.QueryRow(ctx, s.sql.generation, user).Scan(&l.gen); err != nil {
		return Login{}, explain("begin login", err)
	}
	return l, nil
}

// rowless reports whether the user had no row in the database when the login began. The first such number is 0, later
// ones carry a bit that no generation has.
func (l Login) rowless() bool { return l.user != "" && (l.gen == 0 || l.gen&(1<<19) != 0) }

// User is who logs in; empty for the zero Login.
func (l Login) User() string { return l.user }

// MarshalText implements encoding.TextMarshaler.
func (l Login) MarshalText() ([]byte, error) {
	if l.user == "" {
		return nil, nil
	}
	return []byte(strconv.FormatInt(l.gen, 10) + ":" + l.user), nil
}

// UnmarshalText implements encoding.TextUnmarshaler; empty text is the zero Login.
func (l *Login) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*l = Login{}
		return nil
	}
	number, user, ok := strings.Cut(string(text), ":")
	gen, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || gen < 0 || checkUser(user) != nil {
		return fmt.Errorf("%w: text is no Login", ErrInvalid)
	}
	*l = Login{user: user, gen: gen}
	return nil
}
