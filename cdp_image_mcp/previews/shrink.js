// What the blank page does that draws pictures smaller: one object, whose functions previews/canvas.py calls by name.
({
    // A file field that stands in no document: the browser reads the picture from the disk itself. Through the protocol
    // 2 MB take 0.3 s and 25 MB 3 s; by the field any size takes 0.1 s (Chromium 156, two busy cores).
    pick() {
        globalThis.field = Object.assign(document.createElement('input'), {type: 'file'});
        return globalThis.field;
    },

    // For a browser that may not read the folder: the picture in pieces of base64.
    async keepPart(part, first) {
        const bytes = await (await fetch('data:application/octet-stream;base64,' + part)).arrayBuffer();
        globalThis.parts = first ? [bytes] : [...globalThis.parts, bytes];
    },

    // {data} in base64, or {failure}. Sides go down in steps only after quality has: a smaller sharp picture tells a
    // model less than a larger soft one.
    async shrink(type, wanted, edge, limit) {
        const blob = new Blob(globalThis.field ? [globalThis.field.files[0]] : globalThis.parts, {type});
        globalThis.parts = [];
        globalThis.field = null;
        let bitmap;
        try {
            bitmap = await (type === 'image/svg+xml' ? this.rastered(blob, edge) : createImageBitmap(blob));
        } catch (error) {
            return {undecoded: true, failure: 'The browser could not decode the picture.'};
        }
        try {
            for (let side = edge; side >= 48; side = Math.floor(side * 0.75)) {
                const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
                const width = Math.max(1, Math.round(bitmap.width * scale));
                const height = Math.max(1, Math.round(bitmap.height * scale));
                const canvas = new OffscreenCanvas(width, height);
                const context = canvas.getContext('2d');
                context.imageSmoothingQuality = 'high';
                context.drawImage(bitmap, 0, 0, width, height);
                for (const quality of [0.9, 0.8, 0.65, 0.5]) {
                    const made = await canvas.convertToBlob({type: wanted, quality});
                    if (made.type === wanted && made.size <= limit) {
                        return {data: await this.base64(made)};
                    }
                }
            }
            return {failure: 'No preview is small enough for the room that is left.'};
        } finally {
            bitmap.close();
        }
    },

    // As a picture an SVG runs no scripts and loads nothing. What it says of its size is often that of an icon; lines
    // stay sharp at any.
    async rastered(blob, edge) {
        const image = new Image();
        image.src = URL.createObjectURL(blob);
        try {
            await image.decode();
            const [wide, high] = [image.naturalWidth || 300, image.naturalHeight || 150];
            const scale = Math.min(edge, Math.max(768, wide, high)) / Math.max(wide, high);
            const sides = [Math.max(1, Math.round(wide * scale)), Math.max(1, Math.round(high * scale))];
            const canvas = new OffscreenCanvas(...sides);
            canvas.getContext('2d').drawImage(image, 0, 0, ...sides);
            return canvas.transferToImageBitmap();
        } finally {
            URL.revokeObjectURL(image.src);
        }
    },

    base64(blob) {
        return new Promise((done, failed) => {
            const reader = new FileReader();
            reader.onload = () => done(reader.result.slice(reader.result.indexOf(',') + 1));
            reader.onerror = () => failed(reader.error);
            reader.readAsDataURL(blob);
        });
    },
})
