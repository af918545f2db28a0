package memory

// Run is a piece of RAM, as a snapshot's file has it: bytes, counted one region after
// the other, in whole pages.
type Run struct{ From, To uint64 }

// runs collects pieces, in ascending order and apart, of which there are at most so
// many: when there would be more, gaps are taken in with what is around them, the
// smallest first.
type runs struct {
	most int
	gap  uint64 // up to which what is apart is joined
	all  []Run
}

func (r *runs) add(from, to uint64) {
	if n := len(r.all); n > 0 && from-r.all[n-1].To <= r.gap {
		r.all[n-1].To = to
		return
	}
	r.all = append(r.all, Run{from, to})
	for len(r.all) > r.most {
		r.gap = max(PageSize, 2*r.gap)
		r.join()
	}
}

// join takes in the gaps.
func (r *runs) join() {
	joined := r.all[:1]
	for _, next := range r.all[1:] {
		if last := &joined[len(joined)-1]; next.From-last.To <= r.gap {
			last.To = next.To
		} else {
			joined = append(joined, next)
		}
	}
	r.all = joined
}

// pieces calls do for each part of a run that lies in one region, with its bytes in
// place, until it fails.
func (m *Memory) pieces(run Run, do func(offset uint64, b []byte) error) error {
	base := uint64(0)
	for _, r := range m.regions {
		from, to := max(run.From, base), min(run.To, base+r.Size)
		if from < to {
			if err := do(from, r.Bytes[from-base:to-base]); err != nil {
				return err
			}
		}
		base += r.Size
	}
	return nil
}
