package sessionstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Login is the beginning of a login: a user, and the generation that the new session will have. If all sessions of
// the user are ended before the new session is created, or at the same time, it never becomes valid. So a login that
// has checked an old password gets no session.
//
// Login can be passed as text from one step of a login to the next, sealed or stored on the server (PutOneTime). It
// is not secret, but a client that could change it could choose the user.
type Login struct {
	user string
	gen  int64
}

// BeginLogin reads the user's generation for Create. Call it before the credentials are checked. Where the user is
// known only at the end, as with OAuth, call it as soon as the user is known, and before checking whether the user
// may log in. It writes nothing, so guessed names create no rows.
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

// User returns the user who logs in, "" for the zero Login.
func (l Login) User() string { return l.user }

// MarshalText implements encoding.TextMarshaler.
func (l Login) MarshalText() ([]byte, error) {
	if l.user == "" {
		return nil, nil
	}
	return []byte(strconv.FormatInt(l.gen, 10) + ":" + l.user), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Empty text is the zero Login.
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
