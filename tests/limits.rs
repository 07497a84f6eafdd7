//! Payloads that grow without end are refused, or read, in bounded time.
#![expect(clippy::format_collect, reason = "a test")]

use crossdock::map::syntax::{Loop, MAX_BYTES};
use crossdock::map::{Syntax, SyntaxKind};

#[test]
fn what_grows_without_end_is_refused_quickly() {
    let begun = std::time::Instant::now();
    let isa = "ISA*00*          *00*          *ZZ*A              *ZZ*B              *250102*0304*U*00401*000000001*0*P*>~";
    let levels: String = (1..5_000).map(|number| format!("HL*{number}*{}*I~", number - 1)).collect();
    let chain = format!("{isa}GS*SH~ST*856*1~HL*1**S~{}SE*9*1~GE*1*~IEA*1*1~", &levels["HL*1*0*I~".len()..]);
    let tags: String = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| format!("{a}{b}9*1~"))).collect();
    for (kind, text) in [
        (SyntaxKind::Json, "[".repeat(3_000_000)),
        (SyntaxKind::Xml, "<a>".repeat(1_000_000)),
        (SyntaxKind::Xml, format!("<a>{}</a>", "<b/>".repeat(300_000))),
        (SyntaxKind::Xml, format!("<a {}/>", (0..3_000).map(|n| format!("x{n}='1' ")).collect::<String>())),
        (SyntaxKind::Form, "a=1&".repeat(400_000)),
        (SyntaxKind::Form, format!("a{}=1", "[0]".repeat(100_000))),
        (SyntaxKind::Csv, ";".repeat(2_000_000)),
        (SyntaxKind::Csv, format!("a\n{}", "\"x\n".repeat(300_000))),
        (SyntaxKind::X12, format!("{isa}GS*SH~{}", "ST*1*1~SE*2*1~".repeat(60_000))),
        (SyntaxKind::X12, chain),
        (SyntaxKind::X12, format!("{isa}GS*SH~ST*856*1~{}SE*9*1~", tags.repeat(100))),
        (SyntaxKind::Edifact, format!("UNB+1'{}", "UNH+1'UNT+2+1'".repeat(60_000))),
        (SyntaxKind::Edifact, format!("UNB+{}", "?".repeat(2_000_000))),
    ] {
        let mut syntax = Syntax::of(kind);
        let all =
            |opens: &str| Loop { opens: opens.to_owned(), members: vec!["*".to_owned(), opens.to_owned()] };
        if matches!(kind, SyntaxKind::X12 | SyntaxKind::Edifact) {
            syntax.loops.0 = vec![Loop { opens: "HL".into(), members: vec!["*".into()] }, all("AA9")];
        }
        let _ = syntax.read(text.as_bytes());
        assert!(begun.elapsed().as_secs() < 60, "{kind:?}");
    }
    let huge = vec![b' '; MAX_BYTES + 1];
    assert!(Syntax::default().read(&huge).unwrap_err().message.contains("at most"));
}
