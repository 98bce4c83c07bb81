package gorillastore_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

// addSave has each request save what it has done.
func addSave(words []string) []string {
	saved := make([]string, len(words))
	for i, w := range words {
		saved[i] = w + " save"
	}
	return saved
}

// valuesOf are what the database holds.
func valuesOf(t *testing.T, p *pod, b *storetest.Browser) map[any]any {
	t.Helper()
	values, err := rowOf(t, p, b).Data.Values()
	require.NoError(t, err)
	return values
}

func TestParallelSavesAreMerged(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann put:gone=1 put:theme=light flash:first save")

	words := []string{"remove:gone", "put:theme=dark", "flash:second", "flash:third"}
	for i := range 12 {
		words = append(words, fmt.Sprintf("put:k%d=%d", i, i))
	}

	storetest.Together(t, pods, b, addSave(words)...)

	values := valuesOf(t, pods[0], b)
	for i := range 12 {
		require.Equal(t, fmt.Sprint(i), values[fmt.Sprintf("k%d", i)])
	}

	require.NotContains(t, values, "gone")
	require.Equal(t, "dark", values["theme"])
	require.ElementsMatch(t, []any{"first", "second", "third"}, values["_flash"])
	require.Zero(t, pods[0].Stats().Overtaken+pods[1].Stats().Overtaken)
}

// A value set to what this pod believes it to be already is written all the same, if the database has another.
func TestStaleUnchangedIsWritten(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	for i := range 20 {
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann put:theme=light save")
		b.Fine(pods[1], "")
		b.Fine(pods[0], "put:theme=dark save")
		b.Fine(pods[1], fmt.Sprintf("put:theme=light put:n=%d save", i))
		require.Equal(t, "light", valuesOf(t, pods[0], b)["theme"])
	}
}

func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann save")
	for i := range 100 {
		p, other := pods[i%2], pods[(i+1)%2]
		b.Fine(other, "")
		b.Fine(p, fmt.Sprintf("flash:f%d save", i))
		require.Equal(t, fmt.Sprintf("[f%d]", i), b.Fine(other, "flashes").Values["flashes"])
		b.Fine(other, "flashes save")
	}
}

// A response that arrives late, of a request that was let in before a login, a renewal or a logout with another login,
// neither replaces nor deletes the cookie that the browser has got since.
func TestLateResponses(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	for _, before := range []string{"", "put:note=1 save", "put:user=ann save"} {
		for _, late := range []string{
			"", "save", "put:late=1 save", "renew save", "remove:note save", "renew replace:late=1 save", "age:-1s save", "put:late=1 age:-1s save", "choose:x put:late=1 save",
		} {
			for _, meanwhile := range [][]string{{"put:user=ann save"}, {"put:user=ann save", "renew save"}, {"age:-1s save", "put:user=ann save"}} {
				ends := strings.Contains(late, "age:-1s") || strings.Contains(late, "replace")
				if strings.Contains(before, "ann") && ends && len(meanwhile) == 1 {
					continue // it ends the very session that the browser still has
				}
				storetest.Late(t, pods[0], pods[1], before, late, meanwhile)
			}
		}
	}
}

// With a fixed name cookies are as gorilla's, and what is read has either name.
func TestFixedCookieName(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, 1, nil)
	fixed := newPod(t, db, "fixed", func(c *gorillastore.Config) { c.FixedCookieName = true })
	b := &storetest.Browser{T: t}
	b.Fine(fixed, "put:note=1 save")
	require.Equal(t, cookieName, b.Cookie.Name)
	require.Equal(t, "1", b.Fine(pods[0], "put:more=1 save").Values["note"])
	require.Equal(t, cookieName, b.Cookie.Name, "as long as the token stays")
	b.Fine(pods[0], "put:user=ann save")
	require.NotEqual(t, cookieName, b.Cookie.Name)
	require.Len(t, b.Cookies(), 1)
	require.Equal(t, "ann", b.Fine(fixed, "put:more=2 save").Values["user"])
	b.Fine(fixed, "renew save")
	require.Equal(t, cookieName, b.Cookie.Name)
	require.Len(t, b.Cookies(), 1)
	b.Fine(fixed, "age:-1s save")
	require.Empty(t, b.Cookies())
}

// A session whose user was taken out of the values is nobody's.
func TestLogoutByEmptying(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	for _, words := range []string{"remove:user save", "replace:note=kept save", "put:user= save"} {
		b := &storetest.Browser{T: t}
		b.Fine(pods[0], "put:user=ann put:note=kept save")
		b.Fine(pods[1], words)
		list, err := pods[0].Sessions().List(t.Context(), "ann")
		require.NoError(t, err)
		require.Empty(t, list, words)
		_, err = pods[0].Sessions().RevokeUser(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, "kept", b.Fine(pods[1], "").Values["note"], words)
	}
}

// Crawlers and health checks whose handler saves a session that holds nothing leave no rows.
func TestEmptySessionsAreNotStored(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	for range 3 {
		b := &storetest.Browser{T: t}
		require.Nil(t, b.Fine(pods[0], "save").Set)
		require.Nil(t, b.Fine(pods[0], "saveall").Set)
	}
	var rows int
	require.NoError(t, pods[0].pool.QueryRow(t.Context(), "SELECT count(*) FROM pgcoherence.session").Scan(&rows))
	require.Zero(t, rows)

	// One that has become empty stays: its token may be known elsewhere.
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:note=1 save")
	b.Fine(pods[0], "remove:note save")
	require.Equal(t, false, b.Fine(pods[0], "").Values["new"])
}

// What http.Error shows of an error names neither host nor user of the database.
func TestErrorsShownToBrowsers(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 1, nil)
	p := pods[0]
	p.pool.Close()
	b := &storetest.Browser{T: t, Cookie: &http.Cookie{Name: cookieName, Value: strings.Repeat("A", 43)}}
	require.Equal(t, "gorillastore: sessions are temporarily unavailable, try again later\n", b.Do(p, "").Text)
	fresh := &storetest.Browser{T: t}
	require.Equal(t, "gorillastore: sessions are temporarily unavailable, try again later\n", fresh.Do(p, "put:note=1 save").Text)
}

// A cookie that this program cannot open is that of another version: it stays.
func TestForeignCookieStays(t *testing.T) {
	t.Parallel()
	db, pods := setup(t, 1, nil)
	keyed := newPod(t, db, "k", func(c *gorillastore.Config) { c.KeyPairs = [][]byte{[]byte("0123456789abcdef0123456789abcdef")} })
	b := &storetest.Browser{T: t}
	b.Fine(keyed, "put:user=ann save")
	require.Nil(t, b.Fine(pods[0], "save").Set)
	require.Equal(t, "ann", b.Fine(keyed, "").Values["user"])
}
