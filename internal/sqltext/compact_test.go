package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

func TestCompact(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"":                                  "",
		"-- why\nSELECT 1 -- and how\n\n":   "SELECT 1",
		"SELECT\n    a,  b\n\tFROM t":       "SELECT a, b FROM t",
		"SELECT 1 /* a /* nested */ one */": "SELECT 1",
		"a/**/b":                            "a b",
		"SELECT '--  no\ncomment', \"/*  x\" -- yes": "SELECT '--  no\ncomment', \"/*  x\"",
		"SELECT 'it''s  --', E'\\'  --' -- c":        "SELECT 'it''s  --', E'\\'  --'",
		"SELECT E'a''  \\'--x' --c":                  "SELECT E'a''  \\'--x'",
		"SELECT type'--  a'--b":                      "SELECT type'--  a'",
		"DO $$ -- kept\n$$ -- not":                   "DO $$ -- kept\n$$",
		"DO $a$ $$ -- kept\n$a$ -- not":              "DO $a$ $$ -- kept\n$a$",
		"SELECT a$b$ -- x\n, c$b$":                   "SELECT a$b$ , c$b$",
		"SELECT $1-- one\n,$2":                       "SELECT $1 ,$2",
		"SELECT 1 - -1, 2 - - 3":                     "SELECT 1 - -1, 2 - - 3",
		"SELECT 'open":                               "SELECT 'open",
		"/* open":                                    "",
	} {
		require.Equal(t, want, sqltext.Compact(sql))
	}
}

// Compacting a second time changes nothing, and no text between quotes is touched.
func FuzzCompact(f *testing.F) {
	f.Add("SELECT 'a  b' -- c\n/* d */ $$ e  $$", "x")
	f.Fuzz(func(t *testing.T, sql, inner string) {
		if strings.ContainsAny(inner, `'\`) {
			return
		}
		once := sqltext.Compact(sql)
		if twice := sqltext.Compact(once); twice != once {
			t.Fatalf("%q became %q and then %q", sql, once, twice)
		}
		if got := sqltext.Compact("SELECT  '" + inner + "' --"); got != "SELECT '"+inner+"'" {
			t.Fatalf("%q became %q", inner, got)
		}
	})
}
