package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	testSecret = []byte("the secret of the client")
	testNow    = time.Unix(1_800_000_000, 0)
)

func testClaims() claims {
	return claims{
		Issuer: "https://idp.example", Subject: "1", Audience: "us", Nonce: "n", SID: "s", Name: "Ann",
		IssuedAt: testNow.Unix(), ExpiresAt: testNow.Add(time.Minute).Unix(),
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	good, err := signToken(testSecret, testClaims())
	require.NoError(t, err)
	got, err := readToken(testSecret, good, "https://idp.example", "us", "n", testNow)
	require.NoError(t, err)
	require.Equal(t, testClaims(), got)

	changed := func(f func(*claims)) string {
		c := testClaims()
		f(&c)
		token, err := signToken(testSecret, c)
		require.NoError(t, err)
		return token
	}
	part := func(i int) string { return strings.Split(good, ".")[i] }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	body, err := json.Marshal(testClaims())
	require.NoError(t, err)
	for name, token := range map[string]string{
		"another issuer":         changed(func(c *claims) { c.Issuer = "https://other.example" }),
		"another audience":       changed(func(c *claims) { c.Audience = "them" }),
		"another nonce":          changed(func(c *claims) { c.Nonce = "m" }),
		"no subject":             changed(func(c *claims) { c.Subject = "" }),
		"too late":               changed(func(c *claims) { c.ExpiresAt = testNow.Add(-leeway - time.Second).Unix() }),
		"too early":              changed(func(c *claims) { c.IssuedAt = testNow.Add(leeway + time.Second).Unix() }),
		"another body":           part(0) + "." + base64.RawURLEncoding.EncodeToString(append(body, ' ')) + "." + part(2),
		"no signature":           part(0) + "." + part(1) + ".",
		"no algorithm":           none + "." + part(1) + ".",
		"no algorithm, signed":   none + "." + part(1) + "." + signatureOf(testSecret, none+"."+part(1)),
		"signed by another":      part(0) + "." + part(1) + "." + signatureOf([]byte("another secret"), part(0)+"."+part(1)),
		"no JSON":                part(0) + ".AAAA." + signatureOf(testSecret, part(0)+".AAAA"),
		"no base64":              part(0) + ".!." + signatureOf(testSecret, part(0)+".!"),
		"one part":               part(0),
		"nothing":                "",
		"a header and signature": part(0) + "." + signatureOf(testSecret, part(0)),
	} {
		got, err := readToken(testSecret, token, "https://idp.example", "us", "n", testNow)
		require.ErrorIs(t, err, errToken, name)
		if name != "signed by another" {
			require.Zero(t, got, name)
		}
	}
}

func FuzzReadToken(f *testing.F) {
	good, err := signToken(testSecret, testClaims())
	require.NoError(f, err)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := readToken(testSecret, token, "https://idp.example", "us", "n", testNow)
		if token != good {
			require.ErrorIs(t, err, errToken)
		}
	})
}
