package sessionstore_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// What cannot be a token never reaches the database.
func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	key := []byte("0123456789abcdef")
	plain, sealed := newPod(t, db, "plain", nil), newPod(t, db, "sealed", &config{SealKeys: [][]byte{key}})
	good, _ := login(t, plain, "ann", nil)
	goodSealed, _ := login(t, sealed, "ann", nil)
	require.Len(t, good, 43)
	require.Len(t, goodSealed, 66)
	other := sessionstore.FormatToken(make([]byte, 32), []byte("another key of 16"))
	bad := []string{
		"", "a", good[:42], good + "A", good + "=", " " + good[1:], "+" + good[1:], "/" + good[1:], good[:42] + "\n", good[:21] + "\r\n" + good[:20],
		good[:42] + "é", strings.Repeat("A", 1<<20), strings.Repeat("\x00", 43), strings.Repeat("_", 43), good + "." + good[:21] + "_", // the last bits of a seal are zero
	}
	for _, token := range bad {
		_, err := plain.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrMalformed, "%.50q", token)
		_, err = plain.Revoke(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrNoSession, "%.50q", token)
	}
	require.Zero(t, plain.Stats().Lookups)
	for _, token := range append(bad, good, other, goodSealed[:43], goodSealed[:44]+other[44:], good+goodSealed[43:], goodSealed[:65], goodSealed[:65]+"\n") {
		_, err := sealed.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrMalformed, "%.70q", token)
		_, err = sealed.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrMalformed)
		_, err = sealed.Revoke(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrMalformed)
		_, err = sealed.Adapter(hook.Token{}).Commit(ctx, token, cart{}, nil)
		require.ErrorIs(t, err, sessionstore.ErrMalformed)
	}
	require.Zero(t, sealed.Stats().Lookups)
	_, err := sealed.Get(ctx, goodSealed)
	require.NoError(t, err)

	// Keys are replaced one after the other; tokens without a seal are accepted where that is configured.
	next := newPod(t, db, "next", &config{SealKeys: [][]byte{[]byte("the new key, longer"), key}, AcceptUnsealed: true})
	_, err = next.Get(ctx, goodSealed)
	require.NoError(t, err)
	_, err = next.Get(ctx, good)
	require.NoError(t, err)
	newest, _ := login(t, next, "ann", nil)
	_, err = sealed.Get(ctx, newest)
	require.ErrorIs(t, err, sessionstore.ErrMalformed)
}

func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{MaxData: 100})
	for _, user := range []string{"", strings.Repeat("x", 257), "a\x00b", "\xff"} {
		_, err := p.BeginLogin(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
		_, err = p.RevokeUser(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
		_, err = p.List(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
		_, err = p.Count(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
	}
	_, _, err := p.Create(ctx, sessionstore.Login{}, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
	l, err := p.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	for _, o := range []*sessionstore.CreateOptions{
		{Policy: sessionstore.Policy{Idle: -2}},
		{Policy: sessionstore.Policy{Absolute: -1}},
		{Policy: sessionstore.Policy{Absolute: 1 << 62}},
		{Issuer: "only"},
		{SID: "only"},
		{Issuer: "a\x00", SID: "b"},
		{AuthenticatedAgo: -1},
	} {
		_, _, err = p.Create(ctx, l, cart{}, o)
		require.ErrorIs(t, err, sessionstore.ErrInvalid, "%+v", o)
	}
	_, _, err = p.Create(ctx, l, cart{Note: strings.Repeat("x", 100)}, nil)
	require.ErrorIs(t, err, sessionstore.ErrTooLarge)
	token, got, err := p.Create(ctx, l, cart{}, nil)
	require.NoError(t, err, "nil options, nil map")
	_, err = p.Update(ctx, token, func(c *cart) error { c.Note = strings.Repeat("x", 100); return nil })
	require.ErrorIs(t, err, sessionstore.ErrTooLarge)
	theirs := errors.New("theirs")
	_, err = p.Update(ctx, token, func(*cart) error { return theirs })
	require.Equal(t, theirs, err)
	require.ErrorIs(t, p.Save(ctx, token, nil), sessionstore.ErrInvalid)
	require.ErrorIs(t, p.Save(ctx, token, &session{}), sessionstore.ErrInvalid)
	other, _ := login(t, p, "bob", nil)
	require.ErrorIs(t, p.Save(ctx, other, got), sessionstore.ErrInvalid, "another session's token")
	for _, o := range []*sessionstore.RotateOptions{
		{Grace: -1},
		{Grace: 2 * time.Hour},
		{Grace: time.Second, Login: l},
		{SID: "s", Issuer: "i"},
		{Policy: sessionstore.Policy{Idle: time.Hour}},
	} {
		_, _, err = p.Rotate(ctx, token, o)
		require.ErrorIs(t, err, sessionstore.ErrInvalid, "%+v", o)
	}
	_, err = p.RevokeByID(ctx, "bob", got.ID)
	require.ErrorIs(t, err, sessionstore.ErrNotFound, "ann's session is not bob's to end")
	_, err = p.RevokeByID(ctx, "", got.ID)
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
	_, err = p.RevokeByID(ctx, "ann", uuid.New())
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
	_, err = p.RevokeBySID(ctx, "", "")
	require.ErrorIs(t, err, sessionstore.ErrInvalid)

	var same sessionstore.Login
	text, err := l.MarshalText()
	require.NoError(t, err)
	require.NoError(t, same.UnmarshalText(text))
	require.Equal(t, l, same)
	for _, bad := range []string{"x", "1", ":ann", "-1:ann", "1:", "99999999999999999999:ann"} {
		require.ErrorIs(t, same.UnmarshalText([]byte(bad)), sessionstore.ErrInvalid)
	}
}

// What people's browsers send is mended and not refused.
func TestDevice(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	extra := map[string]string{}
	for i := range 50 {
		extra[string(rune('a'+i))+strings.Repeat("k", 200)] = strings.Repeat("v", 1000)
	}

	_, made := login(t, p, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{
		UserAgent: "bro\x00wser\xff " + strings.Repeat("x", 1000), Label: "it's \"mine\" 手机", Extra: extra,
	}})
	list, err := p.List(ctx, "ann")
	require.NoError(t, err)
	require.Len(t, list, 1)
	d := list[0].Device
	require.True(t, strings.HasPrefix(d.UserAgent, "browser x"))
	require.LessOrEqual(t, len(d.UserAgent), 500)
	require.Equal(t, "it's \"mine\" 手机", d.Label)
	require.Len(t, d.Extra, 20)
	require.Equal(t, made.Device.UserAgent, d.UserAgent)
	_, err = p.pool.Exec(ctx, `UPDATE pgcoherence.session SET device = '[1]'`)
	require.NoError(t, err)
	list, err = p.List(ctx, "ann")
	require.NoError(t, err, "what others wrote there")
	require.Empty(t, list[0].Device.Label)
}

// versionTwo is a program's next version, which an old pod meets during a rollout.
type versionTwo struct{ sessionstore.Codec[cart] }

func (versionTwo) Version() byte { return 2 }

func (c versionTwo) Decode(version byte, encoded []byte) (cart, error) {
	if version > 2 {
		return cart{}, errors.New("unknown version, and this quotes the data")
	}
	return c.Codec.Decode(1, encoded)
}

func TestUnknownCodecVersion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	old, next := newPod(t, db, "old", nil), newPod(t, db, "next", &config{Codec: versionTwo{sessionstore.JSON[cart]()}})
	token, _ := login(t, old, "ann", nil)
	got, err := next.Get(ctx, token)
	require.NoError(t, err, "the new reads the old")
	require.NoError(t, next.Save(ctx, token, got))
	_, err = old.GetFresh(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrUnreadable)
	require.NotErrorIs(t, err, sessionstore.ErrNoSession, "the user is logged in, another pod can tell")
	require.EqualValues(t, 1, old.Stats().Gets["unreadable"])
	_, err = old.Update(ctx, token, func(*cart) error { return nil })
	require.ErrorIs(t, err, sessionstore.ErrUnreadable)
	_, err = old.Revoke(ctx, token)
	require.NoError(t, err, "logging out works all the same")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	b := bus.NewLocal()
	pool, err := pgxpool.New(t.Context(), "postgres://localhost/none") // it connects when it is used
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	for field, cfg := range map[string]*config{
		"Schema":        {Schema: "No;"},
		"Name":          {Name: strings.Repeat("x", 201)},
		"Policy":        {Policy: sessionstore.Policy{Idle: -2}},
		"SealKeys":      {SealKeys: [][]byte{[]byte("short")}},
		"MaxPerUser":    {MaxPerUser: -1},
		"MaxData":       {MaxData: -1},
		"Size":          {Size: -1},
		"MaxLookups":    {MaxLookups: -1},
		"MaxWaiting":    {MaxWaiting: -1},
		"SweepBatch":    {SweepBatch: -1},
		"MaxRetries":    {MaxRetries: -1},
		"LookupTimeout": {LookupTimeout: -1},
		"TouchInterval": {TouchInterval: -1},
		"TouchAge":      {TouchAge: -1},
		"BindGrace":     {BindGrace: -1},
		"SweepInterval": {SweepInterval: 1},
		"WhenStale":     {WhenStale: cache.ServeFor(-1)},
	} {
		_, err := sessionstore.New(b, pool, cfg)
		require.ErrorIs(t, err, sessionstore.ErrConfig)
		require.ErrorContains(t, err, field)
	}

	// What somebody writes for "never": refused, and not the past.
	const never = time.Duration(math.MaxInt64)
	for field, cfg := range map[string]*config{
		"Policy: idle":     {Policy: sessionstore.Policy{Idle: never}},
		"Policy: absolute": {Policy: sessionstore.Policy{Absolute: never}},
		"LookupTimeout":    {LookupTimeout: never},
		"TouchInterval":    {TouchInterval: never},
		"TouchAge":         {TouchAge: never},
		"BindGrace":        {BindGrace: never},
		"SweepInterval":    {SweepInterval: never},
	} {
		_, err := sessionstore.New(b, pool, cfg)
		require.ErrorIs(t, err, sessionstore.ErrConfig)
		require.ErrorContains(t, err, field)
	}

	_, err = sessionstore.New[cart](nil, pool, nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
	_, err = sessionstore.New[cart](b, nil, nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
	s, err := sessionstore.New[cart](b, pool, nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// Data that callers change is nobody else's, however it comes to them.
func TestDataIsACopy(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)

	clone := func(c cart) cart {
		var d cart
		text, _ := json.Marshal(c)
		_ = json.Unmarshal(text, &d)
		return d
	}
	for name, cfg := range map[string]*config{"decoded": {}, "cloned": {Clone: clone}} {
		p := newPod(t, db, name, cfg)
		token, _ := login(t, p, "ann", nil)
		for range 3 {
			got, err := p.Get(ctx, token)
			require.NoError(t, err)
			require.Equal(t, 1, got.Data.Items["tea"], name)
			got.Data.Items["tea"] = 99
			_, err = p.Update(ctx, token, func(c *cart) error {
				c.Items["tea"] = 77
				return errors.New("not written")
			})
			require.Error(t, err)
		}
	}

	shared := newPod(t, db, "shared", &config{ShareData: true})
	token, _ := login(t, shared, "ann", nil)
	one, err := shared.Get(ctx, token)
	require.NoError(t, err)
	one.Data.Items["tea"] = 2 // against the rules
	two, err := shared.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, 2, two.Data.Items["tea"])
}
