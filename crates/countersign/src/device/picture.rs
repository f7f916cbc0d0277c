//! Reading the QR code of a picture.

use countersign_domain::secret::Secret;
use resvg::{
    tiny_skia::{Pixmap, PremultipliedColorU8, Transform},
    usvg::{ImageHrefResolver, Options, Tree},
};
use rqrr::PreparedImage;

use crate::cli::exit::Failure;

/// How a PNG begins (its specification, section 5.2).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The longer side of a drawn SVG, in pixels. The largest QR code has 185 modules with its margin.
const DRAWN: f32 = 1024.0;
/// The most pixels of a PNG's side.
const LARGEST: u32 = 8192;
/// A picture with fewer pixels is enlarged, because the reader wants several to a module.
const SMALLEST: usize = 512;

/// The text in `content`: of the QR code in a PNG or an SVG, or as it is.
///
/// # Errors
///
/// It is neither a picture that can be read nor text, or there is no QR code in it.
pub fn text(content: &[u8]) -> Result<Secret<String>, Failure> {
    if content.starts_with(PNG) {
        return read(&decode(content)?);
    }
    let text = std::str::from_utf8(content).map_err(|_| refused("is neither text nor a PNG nor an SVG"))?;
    if text.trim_start().starts_with('<') { read(&draw(text)?) } else { Ok(Secret::new(text.trim().to_owned())) }
}

fn decode(png: &[u8]) -> Result<Pixmap, Failure> {
    // Width and height are the first numbers of the first chunk, at offset 16.
    let mut sides = png.iter().skip(16).copied();
    let mut side = || sides.by_ref().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(byte));
    if side() > LARGEST || side() > LARGEST {
        return Err(refused("is too large a picture"));
    }
    Pixmap::decode_png(png).map_err(|_| refused("is a damaged PNG"))
}

fn draw(svg: &str) -> Result<Pixmap, Failure> {
    // A QR code needs no other file, so none is opened.
    let image_href_resolver =
        ImageHrefResolver { resolve_data: Box::new(|_, _, _| None), resolve_string: Box::new(|_, _| None) };
    let tree = Tree::from_str(svg, &Options { image_href_resolver, ..Options::default() })
        .map_err(|_| refused("is no SVG that can be drawn"))?;
    let size = tree.size();
    let scale = DRAWN / size.width().max(size.height());
    // Whole pixels to a module keep its edges sharp.
    let scale = if scale > 1.0 { scale.floor() } else { scale };
    let drawn = size.scale_by(scale).map(|size| size.to_int_size());
    let mut picture = drawn
        .and_then(|size| Pixmap::new(size.width(), size.height()))
        .ok_or_else(|| refused("is an SVG without a size"))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    Ok(picture)
}

fn read(picture: &Pixmap) -> Result<Secret<String>, Failure> {
    let side = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
    let (width, height) = (side(picture.width()), side(picture.height()));
    let scale = SMALLEST.div_ceil(width.max(height));
    let shade = |x, y| picture.pixels().get(y / scale * width + x / scale).copied().map_or(u8::MAX, grey);
    let mut picture = PreparedImage::prepare_from_greyscale(width * scale, height * scale, shade);
    let mut texts = picture.detect_grids().into_iter().filter_map(|grid| grid.decode().ok()).map(|(_, text)| text);
    let text = texts.next().ok_or_else(|| refused("shows no QR code that can be read"))?;
    if texts.next().is_some() { Err(refused("shows several QR codes")) } else { Ok(Secret::new(text)) }
}

/// How light it is on white paper.
fn grey(pixel: PremultipliedColorU8) -> u8 {
    let colour = (u16::from(pixel.red()) + u16::from(pixel.green()) + u16::from(pixel.blue())) / 3;
    let paper = u8::MAX - pixel.alpha();
    u8::try_from(colour).unwrap_or(u8::MAX).saturating_add(paper)
}

fn refused(why: &str) -> Failure {
    Failure::Data(format!("The barcode {why}"))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use fast_qr::{ECL, QRBuilder, QRCode};
    use resvg::tiny_skia::{Color, Paint, Rect};

    use super::*;

    const TEXT: &str = "otpauth://totp/My%20Test%20Tenant:user%40example.com?enrollment_tx_id=0123456789abcdefGHIJKLMNOPQRSTUV\
                        &base_url=https%3A%2F%2Flocalhost%3A8443%2Fappliance-mfa";

    fn code(text: &str) -> QRCode {
        QRBuilder::new(text).ecl(ECL::M).build().unwrap()
    }

    /// A PNG of `text` on white paper with `scale` pixels to a module.
    pub(in crate::device) fn png(text: &str, scale: u16) -> Vec<u8> {
        on_paper(&code(text), scale, Some(Color::WHITE))
    }

    /// Four modules of margin are around it.
    fn on_paper(code: &QRCode, scale: u16, paper: Option<Color>) -> Vec<u8> {
        let side = u32::try_from(code.size + 8).unwrap() * u32::from(scale);
        let mut picture = Pixmap::new(side, side).unwrap();
        if let Some(paper) = paper {
            picture.fill(paper);
        }
        for (y, row) in (4_u16..).zip(0..code.size) {
            for (x, module) in (4_u16..).zip(&code[row]) {
                if module.value() {
                    let (x, y, side) = (f32::from(x * scale), f32::from(y * scale), f32::from(scale));
                    let square = Rect::from_xywh(x, y, side, side).unwrap();
                    picture.fill_rect(square, &Paint::default(), Transform::identity(), None);
                }
            }
        }
        picture.encode_png().unwrap()
    }

    #[test]
    fn text_is_taken_as_it_is() {
        assert_eq!(text(format!(" {TEXT}\n").as_bytes()).unwrap().expose(), TEXT);
    }

    #[test]
    fn the_svg_of_the_server_is_read() {
        let svg = countersign_domain::factor::otp::qr_svg(&Secret::new(TEXT.to_owned())).unwrap();
        assert_eq!(text(svg.expose().as_bytes()).unwrap().expose(), TEXT);
    }

    #[test]
    fn an_svg_of_rectangles_is_read() {
        use std::fmt::Write as _;
        let code = code(TEXT);
        let side = code.size + 8;
        let mut svg =
            format!(r#"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">"#);
        for y in 0..code.size {
            for (x, _) in code[y].iter().enumerate().filter(|(_, module)| module.value()) {
                let (x, y) = (x + 4, y + 4);
                write!(svg, r#"<rect x="{x}" y="{y}" width="1" height="1"/>"#).unwrap();
            }
        }
        svg.push_str("</svg>");
        assert_eq!(text(svg.as_bytes()).unwrap().expose(), TEXT);
    }

    #[test]
    fn a_png_is_read_whatever_its_size_and_paper() {
        for (scale, paper) in [(1, Some(Color::WHITE)), (3, None), (4, Some(Color::WHITE)), (12, Some(Color::WHITE))] {
            assert_eq!(
                text(&on_paper(&code(TEXT), scale, paper)).unwrap().expose(),
                TEXT,
                "{scale} pixels to a module"
            );
        }
    }

    #[test]
    fn what_shows_no_code_is_refused() {
        let blank = Pixmap::new(64, 64).unwrap().encode_png().unwrap();
        let mut huge = blank.clone();
        huge.splice(16..20, [0, 1, 0, 0]);
        for (content, why) in [
            (blank.as_slice(), "shows no QR code"),
            (&blank[..40], "damaged PNG"),
            (&huge, "too large"),
            (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "shows no QR code"),
            (b"<html></html>", "no SVG"),
            (b"\xff\xd8\xff\xe0", "neither text nor"),
        ] {
            let error = text(content).unwrap_err().to_string();
            assert!(error.contains(why), "{error} does not say: {why}");
        }
    }
}
