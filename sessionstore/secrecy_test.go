package sessionstore_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// overheard is all that leaves the process and the tables.
type overheard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *overheard) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// listen writes down what is notified.
func (o *overheard) listen(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `LISTEN "pgcoherence:pgcoherence"`)
	require.NoError(t, err)

	storetest.Background(t, func(ctx context.Context) error {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return nil //nolint:nilerr // the test is over
			}
			fmt.Fprintln(o, n.Payload)
		}
	})
}

// spellings are the ways in which bytes are written.
func spellings(b []byte) []string {
	numbers := strings.Trim(fmt.Sprintf("%d", b), "[]")
	return []string{string(b), hex.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b), numbers}
}

// Neither tokens, nor hashes beyond their first half, nor one-time values, nor data are in notifications, logs, errors,
// metrics, exports, or what prints of a session.
func TestSecrecy(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	heard := &overheard{}
	db := pgtest.New(t, template)
	cfg := &config{
		Logger: slog.New(slog.NewTextHandler(heard, &slog.HandlerOptions{Level: slog.LevelDebug})), Encrypt: true,
		SealKeys: [][]byte{[]byte("a key of nobody's")}, TouchInterval: 5 * time.Millisecond, MaxPerUser: 3,
	}
	p := newPod(t, db, "a", cfg)
	heard.listen(t, db.DSN)
	note := func(err error) {
		if err != nil {
			fmt.Fprintf(heard, "%v %+v %#v\n", err, err, err)
		}
	}
	var tokens []string
	var got *session
	for i := range 5 {
		l, err := p.BeginLogin(ctx, "ann")
		require.NoError(t, err)
		token, s, err := p.Create(ctx, l, cart{Note: "the-secret-note"}, &sessionstore.CreateOptions{Issuer: "idp", SID: fmt.Sprint(i)})
		require.NoError(t, err)
		tokens, got = append(tokens, token), s
	}
	current := tokens[4]
	for range 3 {
		next, s, err := p.Rotate(ctx, current, sessionstore.Periodic(0))
		require.NoError(t, err)
		tokens, current, got = append(tokens, next), next, s
	}
	stale := *got
	_, err := p.Update(ctx, current, func(c *cart) error { c.Note += "!"; return nil })
	require.NoError(t, err)
	for _, token := range append(tokens, tokens[0][:60], tokens[0]+"x", strings.Repeat("A", len(tokens[0]))) {
		_, err = p.Get(ctx, token)
		note(err)
		note(p.Save(ctx, token, &stale))
		note(p.Touch(ctx, token))
		_, _, err = p.Rotate(ctx, token, &sessionstore.RotateOptions{Grace: -1})
		note(err)
		_, err = p.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: strings.Repeat("the-secret-note", 10_000)}, nil)
		note(err)
	}
	value, err := p.PutOneTime(ctx, "k", []byte("the-secret-note"), nil)
	require.NoError(t, err)
	_, err = p.TakeOneTime(ctx, "other", value, "")
	note(err)
	// Errors of the database quote rows; ours must not.
	_, err = p.pool.Exec(ctx, "ALTER TABLE pgcoherence.session ADD CONSTRAINT never CHECK (version < 100) NOT VALID")
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, "ALTER TABLE pgcoherence.session DROP CONSTRAINT session_idle_check, ADD CONSTRAINT broken CHECK (version < 2) NOT VALID")
	require.NoError(t, err)
	_, err = p.Update(ctx, current, func(c *cart) error { c.Note += "!"; return nil })
	require.ErrorContains(t, err, "broken")
	note(err)
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(heard, "%#v %+v\n", err, err)
	}
	_, err = p.pool.Exec(ctx, "ALTER TABLE pgcoherence.session DROP CONSTRAINT broken")
	require.NoError(t, err)
	_, err = p.RevokeUser(ctx, "ann")
	require.NoError(t, err)
	require.NoError(t, p.Sweep(ctx))
	require.NoError(t, p.Export(ctx, heard))
	for _, secret := range sessionstore.Secrets() {
		fmt.Fprintf(heard, "%v %+v %#v %x %s %d\n", secret, secret, secret, secret, secret, secret)
	}
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(p.store))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		_, err = expfmt.MetricFamilyToText(heard, f)
		require.NoError(t, err)
	}
	got.Data = cart{} // data is the application's to print or not
	fmt.Fprintf(heard, "%v %+v %#v\n", got, got, got)

	name, _, _ := sessionstore.KeyOf(tokens[0])
	storetest.Eventually(t, func() bool { return strings.Contains(heard.String(), name) }, "the first half of the hash is what notifications carry")
	all := heard.String()
	require.Contains(t, all, "pgcoherence_session_revoked_total")
	for i, token := range tokens {
		raw, err := base64.RawURLEncoding.DecodeString(token[:43])
		require.NoError(t, err)
		_, _, proof := sessionstore.KeyOf(token)
		require.NotContains(t, all, token, "token %d", i)
		require.NotContains(t, all, token[44:], "seal of token %d", i)
		for _, secret := range append(spellings(raw), spellings(proof)...) {
			require.NotContains(t, all, secret, "token %d", i)
		}
	}
	require.NotContains(t, all, value)
	require.NotContains(t, all, "secret-note")
	require.NotContains(t, all, "a key of nobody's")
	// Not even who it is about is notified: what follows the mark of a tag is random.
	var payloads strings.Builder
	for line := range strings.Lines(all) {
		if strings.Contains(line, name) && !strings.Contains(line, "level=") {
			payloads.WriteString(line)
		}
	}
	require.NotContains(t, payloads.String(), "ann")
}

// With encryption a row says nothing about its data, and no other token opens it.
func TestEncryption(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	p := newPod(t, db, "a", &config{Encrypt: true})
	other := newPod(t, db, "b", &config{}) // reads what is encrypted, writes new ones plain
	token, _ := login(t, p, "ann", nil)
	_, err := p.Update(ctx, token, func(c *cart) error { c.Note = "the-secret-note"; return nil })
	require.NoError(t, err)
	dump := func() string {
		var text string
		require.NoError(t, p.pool.QueryRow(ctx, "SELECT string_agg(s::text || encode(data, 'escape'), E'\\n') FROM pgcoherence.session AS s").Scan(&text))
		return text
	}
	require.NotContains(t, dump(), "secret-note")
	require.NotContains(t, dump(), "tea")
	require.NotContains(t, dump(), token)
	_, err = other.Update(ctx, token, func(c *cart) error {
		require.Equal(t, "the-secret-note", c.Note)
		c.Note = "the-secret-note, still"
		return nil
	})
	require.NoError(t, err)
	require.NotContains(t, dump(), "secret-note", "what was encrypted stays so")

	// An envelope that is moved to another row, or an old one put back, does not open.
	second, _ := login(t, p, "bob", nil)
	_, key, _ := sessionstore.KeyOf(token)
	_, key2, proof2 := sessionstore.KeyOf(second)
	_, err = p.pool.Exec(ctx, `UPDATE pgcoherence.session AS s SET data = o.data, wrapped = o.wrapped, version = o.version
		FROM pgcoherence.session AS o WHERE s.key = $1 AND o.key = $2`, key2, key)
	require.NoError(t, err)
	_, err = p.GetFresh(ctx, second)
	require.ErrorIs(t, err, sessionstore.ErrUnreadable)
	_, err = p.pool.Exec(ctx, "UPDATE pgcoherence.session SET version = version + 1 WHERE key = $1", key)
	require.NoError(t, err)
	_, err = p.GetFresh(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrUnreadable)
	// Somebody with the database cannot make another token open it either.
	_, err = p.pool.Exec(ctx, "DELETE FROM pgcoherence.session WHERE key = $1", key2)
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, "UPDATE pgcoherence.session SET version = version - 1, key = $2, proof = $3 WHERE key = $1", key, key2, proof2)
	require.NoError(t, err)
	_, err = p.GetFresh(ctx, second)
	require.ErrorIs(t, err, sessionstore.ErrUnreadable)

	// Plain sessions become encrypted when they are written.
	token, _ = login(t, other, "carl", nil)
	require.Contains(t, dump(), "tea")
	got, err := p.Get(ctx, token)
	require.NoError(t, err)
	got.Data.Items["coffee"] = 1
	require.NoError(t, p.Save(ctx, token, got))
	require.NotContains(t, dump(), "tea")
	got, err = other.GetFresh(ctx, token)
	require.NoError(t, err)
	require.Equal(t, 1, got.Data.Items["coffee"])
}
