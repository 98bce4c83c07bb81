package httpsession

import (
	"context"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Get returns the session of a request, from memory if that is in sync. It is read once per request. Call it before
// the header of the response is written.
//
// An error that is sessionstore.ErrNoSession means that the client has none; Error responds with 401. With other
// errors that is unknown, and Error responds with 503.
func (m *Manager[T]) Get(r *http.Request) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.load(r.Context())
	return x.session, x.err
}

// GetFresh is Get from the database, bypassing the memory, for actions that must not happen in a session that another
// pod ended a moment ago.
func (m *Manager[T]) GetFresh(r *http.Request) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.load(r.Context()); x.err != nil {
		return nil, x.err
	}

	got, err := m.store.GetFresh(r.Context(), x.reading)
	if err != nil && !isTrouble(err) {
		x.session, x.err = nil, err // and the next request deletes the cookie
	}
	if err != nil {
		return nil, err
	}
	x.session = got
	return got, nil
}

// Token returns the token of a request's session, for methods of the store such as RevokeUserExcept. It is a secret.
func (m *Manager[T]) Token(r *http.Request) (string, error) {
	x, err := m.exchange(r)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.load(r.Context())
	return x.current.token, x.err
}

// Update changes the data of a request's session, as sessionstore.Store.Update does: fn may be called several times.
// The browser's next request reads the new data, on every pod.
func (m *Manager[T]) Update(w http.ResponseWriter, r *http.Request, fn func(data *T) error) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.load(r.Context()); x.err != nil {
		return nil, x.err
	}

	ctx, cancel := m.writeContext(r)
	defer cancel()
	got, err := m.store.Update(ctx, x.current.token, fn)
	if err != nil {
		return nil, err
	}
	if got.Version != x.session.Version {
		setStamp(m.jar, w.Header(), got)
	}
	x.session = got
	return got, nil
}

// Wrote records in the response that data was written without the manager, by Save or in a transaction, so that the
// browser's next request reads it, on every pod.
func (m *Manager[T]) Wrote(w http.ResponseWriter, got *sessionstore.Session[T]) {
	setStamp(m.jar, w.Header(), got)
}

// Start returns the session of a request, or creates an anonymous one, for example for a shopping cart. For a HEAD
// request it stores nothing and sets no cookie.
func (m *Manager[T]) Start(w http.ResponseWriter, r *http.Request, data T) (*sessionstore.Session[T], error) {
	x, err := m.exchange(r)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.load(r.Context())
	if x.err == nil || isTrouble(x.err) {
		return x.session, x.err
	}
	if r.Method == http.MethodHead {
		return &sessionstore.Session[T]{Data: data}, nil
	}

	ctx, cancel := m.writeContext(r)
	defer cancel()
	token, got, err := m.store.CreateAnonymous(ctx, data, &sessionstore.CreateOptions{Device: m.cfg.Device(r)})
	if err != nil {
		return nil, err
	}
	x.header = w.Header()
	x.setCookie(token, got, false)
	return got, nil
}

// Bind returns a context for a stream, such as server-sent events or a WebSocket, that ends with the session of the
// request, whichever pod ends it; see sessionstore.Store.Bind. Call cancel when the stream ends.
func (m *Manager[T]) Bind(r *http.Request) (ctx context.Context, cancel context.CancelFunc, err error) {
	got, err := m.Get(r)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel = m.store.Bind(r.Context(), got)
	return ctx, cancel, nil
}
