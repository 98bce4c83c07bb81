package httpsession

import (
	"context"
	"net/http"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// LoginOptions are options of Login. Nil uses the defaults.
type LoginOptions struct {
	sessionstore.CreateOptions

	// Persist keeps the cookie when the browser is closed, until the session's deadline: "remember me". Defaults to
	// false.
	Persist bool
}

// Login creates a session for a user whose credentials were checked, and sets the browser's cookie. It ends the
// browser's previous session, whose token an attacker may have planted.
//
// login is from before the check: call the store's BeginLogin first, and check the credentials then.
func (m *Manager[T]) Login(w http.ResponseWriter, r *http.Request, login sessionstore.Login, data T, o *LoginOptions) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	var options LoginOptions
	if o != nil {
		options = *o
	}
	if options.Device == nil {
		options.Device = m.cfg.Device(r)
	}
	ctx, cancel := m.writeContext(r)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.header = w.Header()

	if _, err := x.endSent(ctx); err != nil {
		return nil, err
	}
	token, got, err := m.store.Create(ctx, login, data, &options.CreateOptions)
	if err != nil {
		return nil, err
	}
	x.setCookie(token, got, options.Persist)
	return got, nil
}

// Reauthenticate records that the user of a session has presented credentials again, for RequireRecent. The session
// keeps its id and data, gets a new token, and its deadlines start again. If login is of another user than the
// session, it returns sessionstore.ErrInvalid.
func (m *Manager[T]) Reauthenticate(w http.ResponseWriter, r *http.Request, login sessionstore.Login) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := m.writeContext(r)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.header = w.Header()
	if x.load(ctx); x.err != nil {
		return nil, x.err
	}
	if login.User() != x.session.User {
		return nil, sessionstore.ErrInvalid
	}

	token, got, err := m.store.Rotate(ctx, x.current.token, &sessionstore.RotateOptions{Login: login, Device: m.cfg.Device(r)})
	if err != nil {
		return nil, err
	}
	x.replaceCookie(token, got)
	return got, nil
}

// Logout ends the session of a request and deletes its cookie. It is no error if there is none. When Logout returns,
// the session has ended on this pod; when the bus's Confirm of the receipt has returned, on all pods.
func (m *Manager[T]) Logout(w http.ResponseWriter, r *http.Request) (bus.Receipt, error) {
	x, err := m.exchange(r)
	if err != nil {
		return bus.Receipt{}, err
	}
	ctx, cancel := m.writeContext(r)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.header = w.Header()
	return x.endSent(ctx)
}

// LogoutEverywhere ends all sessions of the user of a request, in all browsers, and deletes its cookie. The receipt
// is as for Logout.
func (m *Manager[T]) LogoutEverywhere(w http.ResponseWriter, r *http.Request) (bus.Receipt, error) {
	x, err := m.exchange(r)
	if err != nil {
		return bus.Receipt{}, err
	}
	ctx, cancel := m.writeContext(r)
	defer cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.header = w.Header()
	if x.load(ctx); x.err != nil {
		return bus.Receipt{}, x.err
	}
	if x.session.User == "" {
		return x.endSent(ctx)
	}

	receipt, err := m.store.RevokeUser(ctx, x.session.User)
	if err != nil {
		return receipt, err
	}
	x.forget()
	return receipt, nil
}

// endSent ends every session that the browser has, and one that an earlier call of this request has made.
func (x *exchange[T]) endSent(ctx context.Context) (receipt bus.Receipt, err error) {
	for _, c := range x.cookies() {
		ended, err := x.m.store.Revoke(ctx, c.token)
		if err != nil && isTrouble(err) {
			return receipt, err
		}
		if err == nil {
			receipt = ended
		}
	}
	x.forget()
	return receipt, nil
}

// forget deletes the cookies of a browser whose sessions are over.
func (x *exchange[T]) forget() {
	for _, c := range x.cookies() {
		x.m.jar.remove(x.header, c)
	}
	x.read, x.sent = true, nil
	x.session, x.current, x.reading, x.err = nil, sentCookie{}, "", sessionstore.ErrNoSession
}

// cookies are those that the browser has, or will have after this response.
func (x *exchange[T]) cookies() []sentCookie {
	all := x.sent
	if !x.read {
		all = x.m.jar.sent(x.request)
	}
	if x.current.token == "" {
		return all
	}
	for _, c := range all {
		if c == x.current {
			return all
		}
	}
	return append(all[:len(all):len(all)], x.current)
}
