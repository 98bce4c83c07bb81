package sessionstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// flat data is shared without harm, so a Get of it decodes nothing.
type flat struct {
	Name  string
	Admin bool
}

// BenchmarkGet is a Get from memory: parsing the token, hashing it, asking the bus whether the memory may be trusted,
// counting the use. With encryption the data was decrypted once, by the first Get.
func BenchmarkGet(b *testing.B) {
	db := pgtest.New(b, template)
	pool := db.Pool(b)
	theBus, err := bus.NewPostgres(pool, storetest.QuickBus("bench"))
	require.NoError(b, err)
	storetest.Background(b, theBus.Run)
	<-theBus.Ready()

	for name, cfg := range map[string]*sessionstore.Config[flat]{
		"plain":     {},
		"encrypted": {Encrypt: true},
		"sealed":    {SealKeys: [][]byte{[]byte("0123456789abcdef")}},
	} {
		b.Run(name, func(b *testing.B) {
			cfg.Logger = quiet
			s, err := sessionstore.New(theBus, pool, cfg)
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, s.Close()) })
			token := benchLogin(b, s)
			b.ReportAllocs()

			for b.Loop() {
				if _, err := s.Get(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			s, err := sessionstore.New(theBus, pool, cfg)
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, s.Close()) })
			token := benchLogin(b, s)
			b.ReportAllocs()

			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Get(b.Context(), token); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func benchLogin(b *testing.B, s *sessionstore.Store[flat]) string {
	b.Helper()
	l, err := s.BeginLogin(b.Context(), "ann")
	require.NoError(b, err)
	token, _, err := s.Create(b.Context(), l, flat{Name: "Ann"}, nil)
	require.NoError(b, err)
	_, err = s.Get(b.Context(), token)
	require.NoError(b, err)
	return token
}
