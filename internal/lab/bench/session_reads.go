package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// benchSecret is the random part of token number i, made so that SQL can make it as well.
func benchSecret(i int) [32]byte { return sha256.Sum256([]byte("s" + strconv.Itoa(i))) }

func benchToken(i int) string {
	secret := benchSecret(i)
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

// fewer is how much less often what takes a round trip is read.
const fewer = 100

func measureSessionReads(ctx context.Context, r *report, plan sessionPlan, sides []*sessionSide) error {
	hot, rotating, slowest := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for round := range plan.Rounds {
		for i := range sides {
			side := sides[(i+round)%len(sides)]
			runtime.GC()

			reads := plan.Reads
			if side.remote {
				reads /= fewer
			}

			for _, token := range side.tokens { // all are in memory, of whoever has one
				if round == 0 {
					if err := side.get(ctx, token); err != nil {
						return fmt.Errorf("%s: %w", side.name, err)
					}
				}
			}

			ns, err := side.hot(ctx, reads)
			if err != nil {
				return err
			}

			hot[side.name] = append(hot[side.name], ns)
			took := make([]float64, reads)
			for n := range took {
				token := side.tokens[rand.N(len(side.tokens))]
				begin := time.Now()
				if err := side.get(ctx, token); err != nil {
					return fmt.Errorf("%s: %w", side.name, err)
				}
				took[n] = float64(time.Since(begin).Nanoseconds())
			}

			rotating[side.name] = append(rotating[side.name], percentile(took, 50))
			slowest[side.name] = append(slowest[side.name], percentile(took, 99))
		}
	}

	r.row("read of a session, ns", "one, hot", strconv.Itoa(plan.Rotation)+" in turn, p50", "p99")

	for _, side := range sides {
		figures := []figure{
			newFigure("session.get."+side.name, "ns", hot[side.name]),
			newFigure("session.rotation_p50."+side.name, "ns", rotating[side.name]),
			newFigure("session.rotation_p99."+side.name, "ns", slowest[side.name]),
		}
		r.row(side.name, figures[0].summary, figures[1].summary, figures[2].summary)

		for _, f := range figures {
			r.add(f)
		}
	}

	r.result("session.get_ns", median(hot["ours"]))
	r.result("session.get_p99_ns", median(slowest["ours"]))

	for _, side := range sides[1:] {
		values, err := ratios(hot[side.name], hot["ours"])
		if err != nil {
			return err
		}

		name := "session.ratio." + side.name
		if side.name == "ours, as a store of scs" {
			name = "session.ratio.scsstore"
		}

		r.add(newFigure(name, "ratio", values))
		r.result(name, median(values))
	}

	return nil
}

// hot reads one session again and again. It goes by the median of short stretches, so that a stretch in which somebody
// else had the processor does not count.
func (s *sessionSide) hot(ctx context.Context, reads int) (float64, error) {
	stretch := 500
	if s.remote {
		stretch = 5
	}

	took := make([]float64, max(reads/stretch, 1))
	for n := range took {
		begin := time.Now()
		for range stretch {
			if err := s.get(ctx, s.tokens[0]); err != nil {
				return 0, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		took[n] = float64(time.Since(begin).Nanoseconds()) / float64(stretch)
	}

	return median(took), nil
}

// measureSessionMix lets clients create, read and use sessions, 1:100:100, and counts what reaches the server.
func measureSessionMix(ctx context.Context, r *report, plan sessionPlan, p *sessionPod) error {
	ctx, cancel := context.WithTimeout(ctx, plan.Mix+patience)
	defer cancel()

	var creates, requests atomic.Int64
	before, begin := p.statements.n.Load(), time.Now()
	err := together(plan.Clients, func(client int) error {
		tokens := []string{}
		for time.Since(begin) < plan.Mix {
			token, err := p.login(ctx, fmt.Sprint("mix ", client, " ", len(tokens)))
			if err != nil {
				return err
			}

			tokens = append(tokens, token)
			creates.Add(1)

			for range 100 {
				token := tokens[rand.N(len(tokens))]
				if _, err := p.Get(ctx, token); err != nil {
					return err
				}
				if err := p.Touch(ctx, token); err != nil {
					return err
				}
			}

			requests.Add(1 + 2*100)
		}

		return nil
	})
	if err != nil {
		return err
	}

	took := time.Since(begin)
	sent := p.statements.n.Load() - before
	r.Counts["mix"] = fmt.Sprintf("%d requests of %d clients in %v, of them %d logins; %d statements, with those of the bus",
		requests.Load(), plan.Clients, took.Round(time.Millisecond), creates.Load(), sent)
	r.result("session.statements_per_request", float64(sent)/float64(requests.Load()))
	r.result("session.requests_per_second", float64(requests.Load())/took.Seconds())
	return nil
}

// keyOf is what token number i's row is found by.
func keyOf(i int) []byte {
	secret := benchSecret(i)
	sum := sha256.Sum256(secret[:])
	return sum[:16]
}
