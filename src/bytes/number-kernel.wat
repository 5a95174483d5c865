;; Writes rows of texts and decimal numbers, as number-writer.ts does without it: 16 digits or 16 characters at a time.
;;
;; `npm run kernel` writes it into number-kernel-code.ts; the tests see to it that this was done.

(module
  (import "kernel" "memory" (memory 1))

  ;; Returns the address after the last number. It writes whole vectors: bytes up to 16 places after that change too.
  (func (export "write")
    (param $out i32)
    (param $numbers i32)      ;; address of the columns: 64-bit floats, whole numbers below 2^53
    (param $choices i32)      ;; address of the columns: a byte says which text comes before each number
    (param $columns i32)      ;; how many, not 0
    (param $room i32)         ;; rows for which a column has room, so that the next column comes after them
    (param $rows i32)         ;; how many are written, not 0
    (param $texts i32)        ;; address of the texts: 127 bytes for each, then one with its length
    (param $isPadded i32)     ;; 1 to pad each number with spaces to 16 characters
    (result i32)

    (local $column i32)
    (local $text i32)
    (local $end i32)
    (local $number v128)
    (local $zeros i32)        ;; before the first digit
    (local $each v128)        ;; 0 to 15
    (local $fours v128)       ;; of four lanes, four digits
    (local $pairs v128)       ;; of eight lanes, two digits
    (local $digits v128)
    (local $quotients v128)

    (local.set $each (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
    (loop $row
      (local.set $column (i32.const 0))
      (loop $number
        (local.set $text
          (i32.add (local.get $texts) (i32.shl (i32.load8_u (local.get $choices)) (i32.const 7))))
        (local.set $end (i32.add (local.get $out) (i32.load8_u offset=127 (local.get $text))))
        (loop $vector
          (v128.store (local.get $out) (v128.load (local.get $text)))
          (local.set $text (i32.add (local.get $text) (i32.const 16)))
          (local.set $out (i32.add (local.get $out) (i32.const 16)))
          (br_if $vector (i32.lt_u (local.get $out) (local.get $end))))
        (local.set $out (local.get $end))

        ;; Each lane becomes two of half its width: first the quotient, then the remainder. A number below 2^53 is so far
        ;; from the next multiple of 10^8 that their quotients differ; below 10^8, half more than a whole number never has a
        ;; quotient near a whole one. In the sum with 2^52, a float has its value in the low bits.
        (local.set $number (f64x2.splat (f64.load (local.get $numbers))))
        (local.set $quotients (f64x2.floor (f64x2.div (local.get $number) (v128.const f64x2 1e8 1e8))))
        (local.set $number
          (i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31
            (local.get $quotients)
            (f64x2.sub (local.get $number) (f64x2.mul (local.get $quotients) (v128.const f64x2 1e8 1e8)))))
        (local.set $quotients
          (f64x2.floor
            (f64x2.mul
              (f64x2.add (local.get $number) (v128.const f64x2 0.5 0.5))
              (v128.const f64x2 1e-4 1e-4))))
        (local.set $number
          (f64x2.sub (local.get $number) (f64x2.mul (local.get $quotients) (v128.const f64x2 1e4 1e4))))
        (local.set $fours
          (v128.or
            (v128.xor
              (f64x2.add (local.get $quotients) (v128.const f64x2 0x1p52 0x1p52))
              (v128.const f64x2 0x1p52 0x1p52))
            (i64x2.shl
              (f64x2.add (local.get $number) (v128.const f64x2 0x1p52 0x1p52))
              (i32.const 32))))
        ;; Rounded up, 2^19 / 100 and 2^10 / 10 are exact for four and for two digits.
        (local.set $quotients
          (i32x4.shr_u
            (i32x4.mul (local.get $fours) (v128.const i32x4 5243 5243 5243 5243))
            (i32.const 19)))
        (local.set $pairs
          (v128.or
            (local.get $quotients)
            (i32x4.shl
              (i32x4.sub
                (local.get $fours)
                (i32x4.mul (local.get $quotients) (v128.const i32x4 100 100 100 100)))
              (i32.const 16))))
        (local.set $quotients
          (i16x8.shr_u
            (i16x8.mul (local.get $pairs) (v128.const i16x8 103 103 103 103 103 103 103 103))
            (i32.const 10)))
        (local.set $digits
          (v128.or
            (local.get $quotients)
            (i16x8.shl
              (i16x8.sub
                (local.get $pairs)
                (i16x8.mul (local.get $quotients) (v128.const i16x8 10 10 10 10 10 10 10 10)))
              (i32.const 8))))

        ;; The last digit counts even if it is 0.
        (local.set $zeros
          (i32.ctz
            (i32.xor
              (i32.and
                (i8x16.bitmask (i8x16.eq (local.get $digits) (v128.const i64x2 0 0)))
                (i32.const 0x7fff))
              (i32.const -1))))
        (local.set $digits (v128.or (local.get $digits) (i8x16.splat (i32.const 0x30))))
        (if (local.get $isPadded)
          (then
            (v128.store
              (local.get $out)
              (v128.bitselect
                (i8x16.splat (i32.const 0x20))
                (local.get $digits)
                (i8x16.lt_u (local.get $each) (i8x16.splat (local.get $zeros)))))
            (local.set $out (i32.add (local.get $out) (i32.const 16))))
          (else
            (v128.store
              (local.get $out)
              (i8x16.swizzle
                (local.get $digits)
                (i8x16.add (local.get $each) (i8x16.splat (local.get $zeros)))))
            (local.set $out (i32.add (local.get $out) (i32.sub (i32.const 16) (local.get $zeros))))))

        (local.set $numbers (i32.add (local.get $numbers) (i32.shl (local.get $room) (i32.const 3))))
        (local.set $choices (i32.add (local.get $choices) (local.get $room)))
        (br_if $number
          (i32.lt_u
            (local.tee $column (i32.add (local.get $column) (i32.const 1)))
            (local.get $columns))))
      ;; Back to the first column, in the next row.
      (local.set $choices
        (i32.add
          (i32.sub (local.get $choices) (i32.mul (local.get $columns) (local.get $room)))
          (i32.const 1)))
      (local.set $numbers
        (i32.add
          (i32.sub
            (local.get $numbers)
            (i32.shl (i32.mul (local.get $columns) (local.get $room)) (i32.const 3)))
          (i32.const 8)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))
    (local.get $out)))
