package scsstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// modes are the two ways of scs to hand tokens to a store.
var modes = map[string]func(*scs.SessionManager){
	"plain":  func(m *scs.SessionManager) { m.HashTokenInStore = false },
	"hashed": func(m *scs.SessionManager) { m.HashTokenInStore = true },
}

// What scs documents of Store, CtxStore and IterableStore, case by case, with bytes that are not of our codec.
func TestStoreContract(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	s := pods[0].store
	soon := func() time.Time { return time.Now().Add(time.Minute) }

	t.Run("find", func(t *testing.T) {
		require.NoError(t, s.Commit("find", []byte("encoded_data"), soon()))
		b, found, err := s.Find("find")
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, []byte("encoded_data"), b)
		b, found, err = s.FindCtx(t.Context(), "find")
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, []byte("encoded_data"), b)
	})
	t.Run("find missing", func(t *testing.T) {
		_, found, err := s.Find("missing")
		require.NoError(t, err)
		require.False(t, found)
	})
	t.Run("find expired", func(t *testing.T) {
		require.NoError(t, s.Commit("expires", []byte("encoded_data"), time.Now().Add(2*time.Second)))
		_, found, err := s.Find("expires")
		require.NoError(t, err)
		require.True(t, found)
		storetest.Eventually(t, func() bool {
			_, found, err := s.Find("expires")
			return err == nil && !found
		}, "it expires")
	})
	t.Run("commit overwrites data and expiry", func(t *testing.T) {
		require.NoError(t, s.Commit("twice", []byte("encoded_data"), soon()))
		require.NoError(t, s.CommitCtx(t.Context(), "twice", []byte("new_encoded_data"), time.Now().Add(time.Hour)))
		b, found, err := s.Find("twice")
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, []byte("new_encoded_data"), b)
		got, err := s.Sessions().GetFresh(t.Context(), s.Token("twice"))
		require.NoError(t, err)
		require.Greater(t, got.UntilDeadline(), 50*time.Minute)
	})
	t.Run("commit of what has expired", func(t *testing.T) {
		require.NoError(t, s.Commit("late", []byte("encoded_data"), time.Now().Add(-time.Second)))
		_, found, err := s.Find("late")
		require.NoError(t, err)
		require.False(t, found)
	})
	t.Run("delete", func(t *testing.T) {
		require.NoError(t, s.Commit("delete", []byte("encoded_data"), soon()))
		require.NoError(t, s.Delete("delete"))
		_, found, err := s.Find("delete")
		require.NoError(t, err)
		require.False(t, found)
		require.NoError(t, s.DeleteCtx(t.Context(), "delete"), "once more")
	})
	t.Run("delete missing", func(t *testing.T) {
		require.NoError(t, s.Delete("never there"))
		require.NoError(t, s.Delete(""))
	})
	t.Run("strange tokens", func(t *testing.T) {
		for _, token := range []string{"", "\x00", "a b", strings.Repeat("x", 100_000), "\x00session nonsense"} {
			_, found, err := s.Find(token)
			require.NoError(t, err)
			require.False(t, found)
		}
	})
}

func TestAll(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pods := setup(t, options{manager: mode})
			s := pods[0].store
			all, err := s.All()
			require.NoError(t, err)
			require.NotNil(t, all)
			require.Empty(t, all)

			want := map[string]bool{}
			for _, who := range []string{"ann", "bob"} {
				b := &storetest.Browser{T: t}
				b.Fine(pods[0], "put:user="+who)
				want[who] = true
			}
			gone := &storetest.Browser{T: t}
			gone.Fine(pods[0], "put:user=eve")
			gone.Fine(pods[0], "destroy")
			all, err = s.AllCtx(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 2)
			for handle, b := range all {
				_, values, err := pods[0].Codec.Decode(b)
				require.NoError(t, err)
				who, ok := values["user"].(string)
				require.True(t, ok)
				require.True(t, want[who], who)
				delete(want, who)
				_, found, err := s.Find(handle)
				require.NoError(t, err)
				require.False(t, found, "what All returns opens nothing")
			}
		})
	}
}

func TestSessionsOfOthersAreLeftOut(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	native, err := sessionstore.New[map[string]string](pods[0].bus, pods[0].pool, &sessionstore.Config[map[string]string]{Logger: storetest.Quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, native.Close()) })
	_, _, err = native.CreateAnonymous(t.Context(), map[string]string{"a": "b"}, nil)
	require.NoError(t, err)
	all, err := pods[0].store.All()
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestEncryptedSessionsAreNotIterated(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{config: func(c *scsstore.Config) { c.Sessions.Encrypt = true }})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann put:note=deep-secret")
	require.Equal(t, "deep-secret", b.Fine(pods[0], "").Values["note"])
	var data []byte
	require.NoError(t, pods[0].pool.QueryRow(t.Context(), `SELECT data FROM pgcoherence.session`).Scan(&data))
	require.NotContains(t, string(data), "deep-secret")
	_, err := pods[0].store.All()
	require.ErrorIs(t, err, scsstore.ErrEncrypted)
	b.Fine(pods[0], "renew")
	require.Equal(t, "deep-secret", b.Fine(pods[0], "").Values["note"], "through RenewToken")
}
