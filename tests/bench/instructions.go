package main

import (
	"fmt"
	"time"
)

// loopTurns is how often loopGuest goes round.
const loopTurns = 500_000

// loopGuest counts ecx down from loopTurns, two instructions a turn, and tells.
var loopGuest = []byte{
	0x66, 0xb9, loopTurns & 0xff, loopTurns >> 8 & 0xff, loopTurns >> 16, 0, // mov ecx, loopTurns
	0x66, 0x49, // dec ecx
	0x75, 0xfc, // jnz to the dec
	0xe6, 0x10, // out 0x10, al
}

// measureInstructions times one instruction of a guest's supervisor code: what
// all boot times depend on where such code is emulated.
func (b *bench) measureInstructions() error {
	s := series{Name: "guest"}
	for range b.instructions {
		v, release, err := tinyVCPU(loopGuest)
		if err != nil {
			return err
		}
		start := time.Now()
		err = v.Run()
		took := time.Since(start)
		release()
		if err != nil {
			return fmt.Errorf("count in a guest: %w", err)
		}
		s.Samples = append(s.Samples, float64(took.Nanoseconds())/(2*loopTurns))
	}
	b.report.add(result{Name: "an instruction of guest supervisor code", Unit: "ns", Series: []series{s}})
	return nil
}
